"""Many watchers of one job: a single reader for all, no blocking between them, no lost or repeated messages."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import event, text, update
from sqlalchemy.exc import OperationalError

from backend.api.jobs.stream import feeds
from backend.api.jobs.stream.messages import BATCH
from backend.db.base import utc_now
from backend.db.engine import engine, transaction
from backend.db.jobs import Job, JobEvent
from backend.db.keys import create_key
from backend.db.training import Step
from backend.ids import new_id
from backend.jobs import events
from backend.jobs.lease import claim
from backend.jobs.lifecycle import JobState
from tests.service.conftest import Api, answered, refused
from tests.service.test_api_runs import Watcher, parsed, take_steps

WATCHERS = 60


@contextmanager
def statements() -> Iterator[list[str]]:
    """Record the SQL statements of this process, which includes the API."""
    recorded: list[str] = []

    def see(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        recorded.append(statement)

    event.listen(engine(), "before_cursor_execute", see)
    try:
        yield recorded
    finally:
        event.remove(engine(), "before_cursor_execute", see)


async def messages(client: httpx.AsyncClient, path: str) -> AsyncIterator[tuple[str, Any]]:
    async with client.stream("GET", path) as response:
        assert response.status_code == 200
        name = ""
        async for line in response.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)


def long_steps(job_id: str, *, first: int, last: int) -> None:
    """Store steps of some kilobytes each, in one transaction."""
    metrics = {f"a_figure_with_a_long_name_number_{number}": float(number) for number in range(100)}
    with transaction() as session:
        for step in range(first, last + 1):
            session.add(Step(job_id=job_id, step=step, created_at=utc_now(), metrics=metrics))
        session.execute(update(Job).where(Job.id == job_id).values(step=last))
        events.announce(session, job_id)


@pytest.fixture
def job_id(api: Api) -> str:
    return str(api.job()["id"])


def test_what_is_new_is_read_once_however_many_watch(api: Api, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}/stream"

    async def watch(client: httpx.AsyncClient, caught_up: asyncio.Semaphore) -> list[int]:
        steps = []
        async for name, data in messages(client, path):
            if name == "state" and data["status"] == "queued" and not steps:
                caught_up.release()
            elif name == "metrics":
                steps.append(data["step"])
        return steps

    async def all_watch() -> tuple[list[list[int]], list[str]]:
        caught_up = asyncio.Semaphore(0)
        headers = {"authorization": f"Bearer {api.key}"}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=60, limits=limits) as client:
            watching = [asyncio.create_task(watch(client, caught_up)) for _ in range(WATCHERS)]
            for _ in watching:
                await asyncio.wait_for(caught_up.acquire(), 30)
            with statements() as recorded:
                for step in range(1, 6):
                    await asyncio.to_thread(take_steps, job_id, first=step, last=step)
                    await asyncio.sleep(0.1)
                read = list(recorded)
            await asyncio.to_thread(api.http.post, f"/v1/fine_tuning/jobs/{job_id}/cancel")
            return await asyncio.wait_for(asyncio.gather(*watching), 30), read

    seen_by_each, statements_sent = asyncio.run(all_watch())
    assert seen_by_each == [[1, 2, 3, 4, 5]] * WATCHERS
    event_queries = [
        statement for statement in statements_sent if "FROM job_events" in statement and "LIMIT" in statement
    ]
    assert 1 <= len(event_queries) <= 10  # a wake or two for each of five steps, not one for each watcher
    assert len([statement for statement in statements_sent if statement.startswith("SELECT")]) <= 10 * len(
        event_queries
    )


def test_a_slow_watcher_blocks_no_other_and_misses_nothing(api: Api, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}/stream"
    total = 3000
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = api.url.removeprefix("http://").partition(":")
        slow.connect((host, int(port)))
        request = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {api.key}\r\nconnection: close\r\n\r\n"
        slow.sendall(request.encode())
        beginning = slow.recv(200)
        quick = Watcher(api, f"/v1/fine_tuning/jobs/{job_id}")
        quick.wait("state")
        for first in range(1, total, 300):
            long_steps(job_id, first=first, last=first + 299)
        quick.wait("metrics", total)
        answered(api.http.post(f"/v1/fine_tuning/jobs/{job_id}/cancel"))
        quick.wait("end")
        slow.settimeout(30)
        rest = b"".join(iter(lambda: slow.recv(1 << 16), b""))
    body = (beginning + rest).decode()
    steps = [
        json.loads(line[6:])["step"]
        for line in body.splitlines()
        if line.startswith('data: {"id":"') and "values" in line
    ]
    assert steps == list(range(1, total + 1))
    assert body.count("event: end") == 1


def test_a_late_watcher_gets_past_and_new_messages(api: Api, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}"
    first = Watcher(api, path)
    first.wait("state")
    take_steps(job_id, last=2 * BATCH + 5)
    first.wait("metrics", 2 * BATCH + 5)
    late = Watcher(api, path)
    take_steps(job_id, first=2 * BATCH + 6, last=2 * BATCH + 8)
    for watcher in (first, late):
        watcher.wait("metrics", 2 * BATCH + 8)
    answered(api.http.post(f"{path}/cancel"))
    lists = [
        [message for message in watcher.wait("end") if message["event"] not in ("state", "end")]
        for watcher in (first, late)
    ]
    assert [m["data"] for m in lists[0]] == [m["data"] for m in lists[1]]
    steps = [message["data"]["step"] for message in lists[1] if message["event"] == "metrics"]
    assert steps == list(range(1, 2 * BATCH + 9))


def test_steps_repeated_after_a_lost_worker_are_sent_again_to_all(api: Api, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}"
    first = Watcher(api, path)
    take_steps(job_id, last=4)
    first.wait("metrics", 4)
    with transaction() as session:
        session.query(Step).where(Step.job_id == job_id, Step.step > 2).delete()
        session.execute(update(Job).where(Job.id == job_id).values(step=2))
        message = "Resuming from the checkpoint of step 2."
        events.record(session, job_id, code=events.RESUMED, message=message, data={"step": 2})
    first.wait("event", 2)
    late = Watcher(api, path)
    late.wait("metrics", 2)
    with transaction() as session:
        session.add(Step(job_id=job_id, step=3, created_at=utc_now(), metrics={"again": 1.0}))
        session.execute(update(Job).where(Job.id == job_id).values(step=3))
        events.announce(session, job_id)
    for watcher, steps in ((late, [1, 2, 3]), (first, [1, 2, 3, 4, 3])):
        metrics_messages = [message for message in watcher.wait("metrics", len(steps)) if message["event"] == "metrics"]
        assert [message["data"]["step"] for message in metrics_messages] == steps
        assert metrics_messages[-1]["data"]["values"] == {"again": 1.0}
    after = Watcher(api, path, last_event_id=metrics_messages[-2]["id"])  # of the step that was repeated
    assert [m["data"]["step"] for m in after.wait("metrics") if m["event"] == "metrics"] == [3]
    states = [message["data"]["x_progress"]["step"] for message in first.messages if message["event"] == "state"]
    assert 4 in states
    answered(api.http.post(f"{path}/cancel"))
    for watcher in (first, late, after):
        step_numbers = [m["data"]["step"] for m in watcher.wait("end") if m["event"] == "metrics"]
        assert step_numbers.count(3) == (2 if watcher is first else 1)


def test_a_reader_resumes_after_any_message_though_clocks_differ(api: Api, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}"
    now = utc_now()
    with transaction() as session:
        for earlier_s in (0, 60, 30):
            at = now - timedelta(seconds=earlier_s)
            session.add(
                JobEvent(id=new_id("ftevent"), job_id=job_id, created_at=at, level="info", code="c", message="m")
            )
            session.flush()
        for step, earlier_s in enumerate((10, 70, 20), 1):
            session.add(Step(job_id=job_id, step=step, created_at=now - timedelta(seconds=earlier_s), metrics={}))
        session.execute(update(Job).where(Job.id == job_id).values(step=3))
    answered(api.http.post(f"{path}/cancel"))

    def news(last_event_id: str | None) -> list[dict[str, Any]]:
        messages = Watcher(api, path, last_event_id=last_event_id).wait("end")
        return [message for message in messages if message["event"] not in ("state", "end")]

    whole = news(None)
    assert [message["data"]["step"] for message in whole if message["event"] == "metrics"] == [1, 2, 3]
    assert len([message for message in whole if message["event"] == "event"]) == 5
    for number, message in enumerate(whole, 1):
        assert news(message["id"]) == whole[number:]


def test_steps_repeated_without_a_checkpoint_are_sent_again_to_who_comes_back_late(api: Api, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}"
    take_steps(job_id, last=4)
    first = Watcher(api, path)
    read = first.wait("metrics", 4)[-1]["id"]
    with transaction() as session:
        lease = claim(session, job_id, owner="worker-2", lease_s=60)
    assert lease is not None
    with lease.held() as held:
        assert held.begin() is None
    take_steps(job_id, last=5)
    late = Watcher(api, path, last_event_id=read)
    messages = late.wait("metrics", 5)
    assert [message["data"]["step"] for message in messages if message["event"] == "metrics"] == [1, 2, 3, 4, 5]
    told = [message["data"]["message"] for message in messages if message["event"] == "event"]
    assert told == ["Training has started.", "Starting again from step 1."]
    with lease.held() as held:
        held.end(JobState.CANCELLED)
    for watcher in (first, late):
        watcher.wait("end")


@pytest.mark.parametrize("error", [ValueError("unexpected"), OperationalError("", None, Exception())])
def test_no_error_ends_the_work_that_all_streams_depend_on(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "RECONNECT_S", 0.0)
    errors, done = [error, error], asyncio.Event()

    async def work() -> None:
        if errors:
            raise errors.pop()
        done.set()
        await asyncio.sleep(60)

    async def run() -> None:
        repeating = asyncio.create_task(feeds._repeat(work))
        await asyncio.wait_for(done.wait(), 10)
        repeating.cancel()

    asyncio.run(run())


def test_a_feed_ends_with_its_last_watcher(api: Api, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}/stream"
    for _ in range(3):
        with api.http.stream("GET", path) as response:
            assert next(response.iter_lines()).startswith("id: ")
    deadline = time.monotonic() + 10
    step, statements_sent = 0, ["the disconnect is not detected immediately"]
    while statements_sent:
        assert time.monotonic() < deadline
        step += 1
        with statements() as recorded:
            take_steps(job_id, first=step, last=step)
            time.sleep(0.3)
        statements_sent = [statement for statement in recorded if "FROM job_events" in statement]


def test_a_client_gets_on_after_a_failed_read_though_the_job_idles(api: Api, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}"
    idle = Watcher(api, path)
    take_steps(job_id, last=1)
    idle.wait("metrics")
    time.sleep(0.5)  # it may still be woken by the step that it has read already
    position = {"last-event-id": "0-0-1-0"}  # at which it has not read
    with renamed("job_events"), api.http.stream("GET", f"{path}/stream", headers=position) as response:
        assert response.status_code == 200
        assert [*parsed(response)] == []
    assert idle.thread.is_alive()
    Watcher(api, path, last_event_id=position["last-event-id"]).wait("state")
    answered(api.http.post(f"{path}/cancel"))
    idle.wait("end")


@contextmanager
def renamed(table: str) -> Iterator[None]:
    """Give the table another name, so that queries of it fail."""
    with transaction() as session:
        session.execute(text(f"ALTER TABLE {table} RENAME TO renamed"))
    try:
        yield
    finally:
        with transaction() as session:
            session.execute(text(f"ALTER TABLE renamed RENAME TO {table}"))


def test_a_job_that_is_followed_in_its_project_is_unknown_in_another(api: Api, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}"
    owner = Watcher(api, path)
    owner.wait("state")
    other = answered(api.http.post("/v1/projects", json={"name": "another"}))["id"]
    with transaction() as session:
        secret = create_key(session, name="elsewhere", project=other)[1]
    answer = api.bare.get(f"{path}/stream", headers={"authorization": f"Bearer {secret}"})
    refused(answer, status=404, code="not_found")
    answered(api.http.post(f"{path}/cancel"))
    owner.wait("end")


def test_a_watch_ends_when_its_key_is_revoked_and_the_others_go_on(
    api: Api, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "REVALIDATION_S", 0.1)
    path = f"/v1/fine_tuning/jobs/{job_id}"
    made = answered(api.http.post("/v1/keys", json={"name": "watcher", "role": "viewer"}))
    stays = Watcher(api, path)
    stays.wait("state")
    theirs = {"authorization": f"Bearer {made['secret']}"}
    with api.bare.stream("GET", f"{path}/stream", headers=theirs) as response:
        lines = response.iter_lines()
        next(lines)
        answered(api.http.delete(f"/v1/keys/{made['id']}"))
        assert "event: end" not in list(lines)
    take_steps(job_id, last=1)
    stays.wait("metrics")
    answered(api.http.post(f"{path}/cancel"))
    stays.wait("end")


def test_permissions_of_all_watchers_are_checked_in_one_query(
    api: Api, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "REVALIDATION_S", 0.2)
    path = f"/v1/fine_tuning/jobs/{job_id}"
    with transaction() as session:
        secrets = [create_key(session, name="watcher")[1] for _ in range(10)]
    with ExitStack() as clients:
        watchers = []
        for secret in secrets:
            theirs = {"authorization": f"Bearer {secret}"}
            client = clients.enter_context(httpx.Client(base_url=api.url, headers=theirs, timeout=60))
            watchers.append(Watcher(replace(api, http=client), path))
            watchers[-1].wait("state")
        deadline = time.monotonic() + 20
        with statements() as recorded:
            while not (statements_sent := [statement for statement in recorded if "FROM members" in statement]):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        answered(api.http.post(f"{path}/cancel"))
        for watcher in watchers:
            watcher.wait("end")
    among_keys, among_members = statements_sent[0].split("UNION ALL")
    assert among_keys.count("%(id_1_") == among_members.count("%(email_1_") == len(secrets)
