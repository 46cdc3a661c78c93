"""A slow request does not block others."""

import asyncio
import json
import threading

import anyio
import httpx
from anyio import to_thread
from starlette.requests import Request
from starlette.types import Message

from backend.api.http.bodies import require_storable_body
from backend.app import create_app


def test_healthz_responds_while_all_threads_are_busy() -> None:
    async def status() -> int:
        to_thread.current_default_thread_limiter().total_tokens = 1
        release = threading.Event()
        async with (
            anyio.create_task_group() as tasks,
            httpx.AsyncClient(transport=httpx.ASGITransport(create_app()), base_url="http://api") as client,
        ):
            tasks.start_soon(to_thread.run_sync, release.wait)
            try:
                with anyio.fail_after(20):
                    return (await client.get("/healthz")).status_code
            finally:
                release.set()

    assert asyncio.run(status()) == 200


def test_event_loop_runs_while_a_body_is_checked() -> None:
    async def other_task_ran() -> bool:
        body = json.dumps([0] * 100).encode()

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        headers = [(b"content-type", b"application/json")]
        other = asyncio.Event()
        asyncio.get_running_loop().call_soon(other.set)
        await require_storable_body(Request({"type": "http", "method": "POST", "headers": headers}, receive))
        return other.is_set()

    assert asyncio.run(other_task_ran())
