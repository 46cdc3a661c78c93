"""The API under load from another process: requests at a fixed rate, and many streams of one job.

The database contains a few hundred jobs with their steps. Latency is measured from the time a request was due, so that
delays of a server that falls behind are included.
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
class LoadTarget:
    """A paused job for the load test to request."""

    api_url: str
    database_url: str
    job_id: str
    step: int
    """Its last step."""


def run(client: Client, *, api_url: str, database_url: str) -> list[Figure]:
    target = _create_jobs(client, api_url=api_url, database_url=driver_url(database_url))
    return asyncio.run(_all(target))


async def _all(target: LoadTarget) -> list[Figure]:
    return [*await _requests(target), *await _streams(target)]


def _create_jobs(client: Client, *, api_url: str, database_url: str) -> LoadTarget:
    """Create and pause a job through the API, and insert copies of it with steps."""
    body = json.loads((STARTER / "job.json").read_text())
    body["method"]["reinforcement"]["grader"] = {"type": "regex", "pattern": "x"}
    with psycopg.connect(database_url, autocommit=True) as database:
        training = client.upload(STARTER / "train.jsonl")["id"]
        job_id: str = client.post("/v1/fine_tuning/jobs", body | {"training_file": training})["id"]
        job = client.post(f"/v1/fine_tuning/jobs/{job_id}/pause", {})
        while job["status"] != "paused":  # a worker may have started it first
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
    return LoadTarget(api_url, database_url, job_id, job["x_progress"]["step"])


async def _requests(target: LoadTarget) -> list[Figure]:
    """Request job, list and metrics in turn, `RATE` per second in total."""
    copy = "/v1/fine_tuning/jobs/ftjob-copy1"
    paths = {"get": copy, "list": "/v1/fine_tuning/jobs?limit=20", "metrics": f"{copy}/metrics?limit=100"}
    latencies: dict[str, list[float]] = {name: [] for name in paths}
    pool = aiohttp.TCPConnector(limit=100, keepalive_timeout=2)  # before the server closes them
    async with aiohttp.ClientSession(target.api_url, headers=HEADERS, connector=pool, raise_for_status=True) as http:

        async def ask(name: str, due: float, *, counts: bool) -> None:
            async with http.get(paths[name]) as response:
                await response.read()
            if counts:
                latencies[name].append((time.perf_counter() - due) * 1000)

        async with asyncio.TaskGroup() as group:
            began = time.perf_counter()
            for number in range(int(RATE * (SECONDS + 1))):
                due = began + number / RATE
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                name = list(paths)[number % len(paths)]
                group.create_task(ask(name, due, counts=due - began > 1))
    every = [ms for each in latencies.values() for ms in each]
    named = {"api": every} | {f"api_{name}": each for name, each in latencies.items()}
    return [figure for name, each in named.items() for figure in _percentiles(name, each)]


def _percentiles(name: str, latencies: Sequence[float]) -> list[Figure]:
    ordered = sorted(latencies)
    return [
        Figure(
            f"{name}_p{part}_ms", ordered[int(len(ordered) * part / 100)], "ms", len(ordered), ordered[0], ordered[-1]
        )
        for part in (50, 99)
    ]


async def _streams(target: LoadTarget) -> list[Figure]:
    """Measure the time from the commit of a step until every stream has received it, and the transactions needed."""
    limits = httpx.Limits(max_connections=None)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=target.api_url, headers=HEADERS, limits=limits, timeout=120)
        )
        database = await stack.enter_async_context(
            await psycopg.AsyncConnection.connect(target.database_url, autocommit=True)
        )
        began = time.perf_counter()
        path = f"/v1/fine_tuning/jobs/{target.job_id}/stream"
        streams = [aiter(_steps(http, path, target.step)) for _ in range(WATCHERS)]
        await asyncio.gather(*map(anext, streams))
        joined_s = time.perf_counter() - began
        before = await _transactions(database)
        steps = range(target.step + 1, target.step + 1 + ANNOUNCED_STEPS)
        waits = [await _announce(database, target.job_id, step, streams) for step in steps]
        await asyncio.sleep(1.5)  # PostgreSQL writes its statistics once per second
        transactions = (await _transactions(database) - before) / ANNOUNCED_STEPS
        for stream in streams:
            await stream.aclose()
    return [
        Figure("streams_500_join_s", joined_s, "s", 1, joined_s, joined_s),
        Figure("streams_500_fan_out_ms", statistics.median(waits), "ms", len(waits), min(waits), max(waits)),
        Figure("streams_500_transactions_a_step", transactions, "", 1, transactions, transactions),
    ]


async def _steps(http: httpx.AsyncClient, path: str, last: int) -> AsyncIterator[int]:
    """Yield the last step once the stream has caught up, then the numbers of later steps."""
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
    """Insert and announce a step; return the milliseconds until all streams have received it."""
    async with database.transaction():
        await database.execute(
            "INSERT INTO steps (job_id, step, created_at, metrics) VALUES (%s, %s, now(), %s)",
            (job_id, step, json.dumps({"reward_mean": secrets.randbelow(100) / 100, "loss": 0.1, "step_s": 1.0})),
        )
        await database.execute("UPDATE jobs SET step = %s WHERE id = %s", (step, job_id))
        await database.execute("SELECT pg_notify(%s, %s)", (CHANNEL, job_id))
    began = time.perf_counter()
    received = await asyncio.gather(*map(anext, streams))
    assert set(received) == {step}, received
    return (time.perf_counter() - began) * 1000


async def _transactions(database: psycopg.AsyncConnection[tuple[object, ...]]) -> int:
    await database.execute("SELECT pg_stat_force_next_flush()")
    found = await database.execute("SELECT sum(xact_commit) FROM pg_stat_database WHERE datname = current_database()")
    row = await found.fetchone()
    return int(str(row[0])) if row else 0
