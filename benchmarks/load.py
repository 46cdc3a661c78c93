"""The API under load, from one process beside it: steady requests at a fixed rate, and many who watch one job.

The database holds some hundred jobs with their steps. Latency counts from when a request was due, so a server that
falls behind is not spared what it holds up.
"""

import asyncio
import json
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import httpx
import psycopg

from backend.cli.demo import STARTER
from backend.cli.http_client import Client
from backend.db.engine import driver_url
from backend.jobs.events import CHANNEL
from benchmarks.application import KEY
from benchmarks.figures import Figure
from benchmarks.filling import copy_rows

JOBS = 300
STEPS = 200
RATE = 200
SECONDS = 10.0
WATCHERS = 500
ANNOUNCED_STEPS = 20
HEADERS = {"authorization": f"Bearer {KEY}"}


@dataclass(frozen=True, slots=True)
class Known:
    """A job that is there to be asked for, and not being trained."""

    api_url: str
    database_url: str
    job_id: str
    step: int
    """The last it took."""


def run(client: Client, *, api_url: str, database_url: str) -> list[Figure]:
    known = _filled(client, api_url=api_url, database_url=driver_url(database_url))
    return asyncio.run(_all(known))


async def _all(known: Known) -> list[Figure]:
    return [*await _requests(known), *await _streams(known)]


def _filled(client: Client, *, api_url: str, database_url: str) -> Known:
    """A job as users make it, paused, and copies of it with steps."""
    body = json.loads((STARTER / "job.json").read_text())
    body["method"]["reinforcement"]["grader"] = {"type": "regex", "pattern": "x"}
    with psycopg.connect(database_url, autocommit=True) as database:
        training = client.upload(STARTER / "train.jsonl")["id"]
        job_id: str = client.post("/v1/fine_tuning/jobs", body | {"training_file": training})["id"]
        job = client.post(f"/v1/fine_tuning/jobs/{job_id}/pause", {})
        while job["status"] != "paused":  # a worker may have taken it first
            time.sleep(0.2)
            job = client.get(f"/v1/fine_tuning/jobs/{job_id}")
        changed = {"id": "'ftjob-copy' || n", "state": "'succeeded'", "fine_tuned_model": "NULL"}
        source = f"generate_series(1, {JOBS}) n WHERE old.id = %(job)s"
        copy_rows(database, "jobs", changed=changed, source=source, values={"job": job_id})
        database.execute(
            "INSERT INTO steps (job_id, step, created_at, metrics) "
            "SELECT id, n, now(), jsonb_build_object('reward_mean', random(), 'loss', random(), 'step_s', 1.0) "
            "FROM jobs, generate_series(1, %s) n WHERE id LIKE 'ftjob-copy%%'",
            (STEPS,),
        )
        database.execute("ANALYZE")
    return Known(api_url, database_url, job_id, job["x_progress"]["step"])


async def _requests(known: Known) -> list[Figure]:
    """Job, list and metrics in turn at `RATE` a second together."""
    copy = "/v1/fine_tuning/jobs/ftjob-copy1"
    paths = {"get": copy, "list": "/v1/fine_tuning/jobs?limit=20", "metrics": f"{copy}/metrics?limit=100"}
    taken: dict[str, list[float]] = {name: [] for name in paths}
    pool = aiohttp.TCPConnector(limit=100, keepalive_timeout=2)  # before the server closes them
    async with aiohttp.ClientSession(known.api_url, headers=HEADERS, connector=pool, raise_for_status=True) as http:

        async def ask(name: str, due: float, *, counts: bool) -> None:
            async with http.get(paths[name]) as response:
                await response.read()
            if counts:
                taken[name].append((time.perf_counter() - due) * 1000)

        async with asyncio.TaskGroup() as group:
            began = time.perf_counter()
            for number in range(int(RATE * (SECONDS + 1))):
                due = began + number / RATE
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                name = list(paths)[number % len(paths)]
                group.create_task(ask(name, due, counts=due - began > 1))
    every = [ms for each in taken.values() for ms in each]
    named = {"api": every} | {f"api_{name}": each for name, each in taken.items()}
    return [figure for name, each in named.items() for figure in _percentiles(name, each)]


def _percentiles(name: str, taken: Sequence[float]) -> list[Figure]:
    ordered = sorted(taken)
    return [
        Figure(
            f"{name}_p{part}_ms", ordered[int(len(ordered) * part / 100)], "ms", len(ordered), ordered[0], ordered[-1]
        )
        for part in (50, 99)
    ]


async def _streams(known: Known) -> list[Figure]:
    """From the commit of a step until the last of all watchers has it, and the transactions that takes."""
    limits = httpx.Limits(max_connections=None)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=known.api_url, headers=HEADERS, limits=limits, timeout=120)
        )
        database = await stack.enter_async_context(
            await psycopg.AsyncConnection.connect(known.database_url, autocommit=True)
        )
        began = time.perf_counter()
        path = f"/v1/fine_tuning/jobs/{known.job_id}/stream"
        streams = [aiter(_steps(http, path, known.step)) for _ in range(WATCHERS)]
        await asyncio.gather(*map(anext, streams))
        joined_s = time.perf_counter() - began
        before = await _transactions(database)
        steps = range(known.step + 1, known.step + 1 + ANNOUNCED_STEPS)
        waits = [await _announce(database, known.job_id, step, streams) for step in steps]
        await asyncio.sleep(1.5)  # the statistics are written once a second
        asked = (await _transactions(database) - before) / ANNOUNCED_STEPS
        for stream in streams:
            await stream.aclose()
    return [
        Figure("streams_500_join_s", joined_s, "s", 1, joined_s, joined_s),
        Figure("streams_500_fan_out_ms", statistics.median(waits), "ms", len(waits), min(waits), max(waits)),
        Figure("streams_500_transactions_a_step", asked, "", 1, asked, asked),
    ]


async def _steps(http: httpx.AsyncClient, path: str, last: int) -> AsyncIterator[int]:
    """The last step once the watcher has caught up with it, then the numbers of those that follow."""
    async with http.stream("GET", path) as response:
        response.raise_for_status()
        event = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: ") and event == "metrics" and (step := json.loads(line[6:])["step"]) > last:
                yield int(step)
            elif line.startswith("data: ") and event == "state" and json.loads(line[6:])["x_progress"]["step"] == last:
                yield last


async def _announce(
    database: psycopg.AsyncConnection[tuple[object, ...]], job_id: str, step: int, streams: Sequence[AsyncIterator[int]]
) -> float:
    """Milliseconds until all have the step."""
    async with database.transaction():
        await database.execute(
            "INSERT INTO steps (job_id, step, created_at, metrics) VALUES (%s, %s, now(), %s)",
            (job_id, step, json.dumps({"reward_mean": secrets.randbelow(100) / 100, "loss": 0.1, "step_s": 1.0})),
        )
        await database.execute("UPDATE jobs SET step = %s WHERE id = %s", (step, job_id))
        await database.execute("SELECT pg_notify(%s, %s)", (CHANNEL, job_id))
    began = time.perf_counter()
    seen = await asyncio.gather(*map(anext, streams))
    assert set(seen) == {step}, seen
    return (time.perf_counter() - began) * 1000


async def _transactions(database: psycopg.AsyncConnection[tuple[object, ...]]) -> int:
    await database.execute("SELECT pg_stat_force_next_flush()")
    found = await database.execute("SELECT sum(xact_commit) FROM pg_stat_database WHERE datname = current_database()")
    row = await found.fetchone()
    return int(str(row[0])) if row else 0
