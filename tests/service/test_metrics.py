"""`/metrics` for Prometheus, for administrators only."""

import asyncio

import httpx
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from backend.app import create_app
from backend.chat.redis_keys import QUEUED, queue_member, redis_url, request_key
from backend.db.engine import transaction
from backend.db.keys import Role, create_key
from backend.settings import settings
from backend.workers import facts, report
from tests.service.conftest import Api, refused, status_without_body


def value(api: Api, sample: str, **labels: str) -> float | None:
    response = api.http.get("/metrics")
    assert response.status_code == 200
    for family in text_string_to_metric_families(response.text):
        for found in family.samples:
            if found.name == sample and labels.items() <= found.labels.items():
                return found.value
    return None


def test_requests_are_counted_by_route_and_not_by_object(api: Api) -> None:
    route = {"method": "GET", "route": "/v1/files/{file_id}", "status": "404"}
    before = value(api, "rlsd_requests_total", **route) or 0
    for n in range(3):
        refused(api.http.get(f"/v1/files/file-{n}"), status=404)
    refused(api.http.get("/v1/nothing"), status=404)
    assert value(api, "rlsd_requests_total", **route) == before + 3
    assert value(api, "rlsd_requests_total", route="unknown", status="404")
    assert "file-1" not in api.http.get("/metrics").text


@pytest.mark.parametrize("file_id", ["v1", "files", "file"])
def test_a_route_is_labelled_by_its_template(api: Api, file_id: str) -> None:
    route = {"method": "GET", "route": "/v1/files/{file_id}", "status": "404"}
    before = value(api, "rlsd_requests_total", **route) or 0
    refused(api.http.get(f"/v1/files/{file_id}"), status=404)
    assert value(api, "rlsd_requests_total", **route) == before + 1


def test_what_strangers_make_up_is_not_counted_by_its_name(api: Api) -> None:
    too_large = {"content-length": str(2**40), "content-type": "application/json"}
    assert status_without_body(api, "/v1/made-up-1", headers=too_large) == 413
    refused(api.bare.post("/v1/made-up-2", headers={"idempotency-key": "k"}), status=401)
    refused(api.http.post("/v1/made-up-3", headers={"idempotency-key": "k" * 256}), status=400)
    assert "made-up" not in api.http.get("/metrics").text
    assert value(api, "rlsd_requests_total", method="POST", route="unknown", status="413")
    in_process = asyncio.run(metrics_after("MADE-UP-4", "/healthz")).casefold()
    assert "made-up" not in in_process
    assert 'method="unknown",route="/healthz",status="405"' in in_process


async def metrics_after(method: str, path: str) -> str:
    """Send a request directly to an application of its own: the test server rejects unknown methods."""
    app = create_app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        await client.request(method, path)
    return generate_latest(app.state.metrics.registry).decode()


def test_jobs_queues_and_workers_are_counted(api: Api) -> None:
    api.job()
    with transaction() as session:
        report(session, facts(["train"], sandbox_level=2))
    assert value(api, "rlsd_jobs", state="queued") == 1
    assert value(api, "rlsd_jobs", state="running") == 0
    assert value(api, "rlsd_queue_messages", queue="train") == 1
    assert value(api, "rlsd_workers", queue="train") == 1
    assert (value(api, "rlsd_oldest_waiting_seconds", kind="job") or 0) > 0


def test_chat_requests_that_wait_are_counted_unless_their_callers_have_gone(api: Api) -> None:
    assert value(api, "rlsd_queue_messages", queue="chat") == 0
    assert value(api, "rlsd_oldest_waiting_seconds", kind="chat") == 0
    with Redis.from_url(redis_url(settings().required_broker_url)) as broker:
        now, _ = broker.time()
        for name, waited_s in (("gone", 500), ("here", 100), ("too", 10)):
            broker.zadd(QUEUED, {queue_member(name, "starter"): now - waited_s})
            if name != "gone":
                broker.set(request_key(name), "{}", ex=60)
    assert value(api, "rlsd_queue_messages", queue="chat") == 2
    assert 100 <= (value(api, "rlsd_oldest_waiting_seconds", kind="chat") or 0) < 130


def test_only_administrators_read_them(api: Api) -> None:
    with transaction() as session:
        _, secret = create_key(session, name="viewer", role=Role.EDITOR)
    refused(api.bare.get("/metrics", headers={"authorization": f"Bearer {secret}"}), status=403)
    refused(api.bare.get("/metrics"), status=401)
