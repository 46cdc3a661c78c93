"""What one request costs, another does not wait for."""

import asyncio
import json
import threading

import anyio
import httpx
from anyio import to_thread
from starlette.requests import Request
from starlette.types import Message

from backend.api.http.dependencies import storable_body
from backend.app import create_app


def test_the_process_says_that_it_lives_while_all_its_threads_wait() -> None:
    async def asked() -> int:
        to_thread.current_default_thread_limiter().total_tokens = 1
        release = threading.Event()
        async with (
            anyio.create_task_group() as waiting,
            httpx.AsyncClient(transport=httpx.ASGITransport(create_app()), base_url="http://api") as client,
        ):
            waiting.start_soon(to_thread.run_sync, release.wait)
            try:
                with anyio.fail_after(20):
                    return (await client.get("/healthz")).status_code
            finally:
                release.set()

    assert asyncio.run(asked()) == 200


def test_others_have_their_turn_while_a_body_is_looked_through() -> None:
    async def looked_through() -> bool:
        body = json.dumps([0] * 100).encode()

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        headers = [(b"content-type", b"application/json")]
        other = asyncio.Event()
        asyncio.get_running_loop().call_soon(other.set)
        await storable_body(Request({"type": "http", "method": "POST", "headers": headers}, receive))
        return other.is_set()

    assert asyncio.run(looked_through())
