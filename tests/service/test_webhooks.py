"""Webhooks: signed as the specification says, delivered by a worker, tried again, and their log."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import update

from backend import webhooks
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.webhooks import WebhookDelivery
from tests.service.conftest import Api, answered, refused


@dataclass(slots=True)
class Listener:
    """Somebody's server; `status` is what it answers next."""

    url: str = ""
    status: int = 200
    heard: list[tuple[dict[str, str], str]] = field(default_factory=list)

    def wait(self, count: int) -> None:
        until(lambda: len(self.heard) >= count)


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            found.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the console."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    yield found
    server.shutdown()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def hook(api: Api, listener: Listener, **body: Any) -> dict[str, Any]:
    return answered(api.http.post("/v1/webhooks", json={"url": listener.url, **body}))


def deliveries(api: Api, hook_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answered(api.http.get(f"/v1/webhooks/{hook_id}/deliveries"))["data"]
    return found


@pytest.mark.usefixtures("check_worker")
def test_the_end_of_a_job_is_told_with_a_signature_that_holds(api: Api, listener: Listener) -> None:
    made = hook(api, listener)
    job = api.job()
    answered(api.http.post(f"/v1/fine_tuning/jobs/{job['id']}/cancel"))
    listener.wait(1)
    headers, body = listener.heard[0]
    event = json.loads(body)
    assert event["type"] == "fine_tuning.job.cancelled"
    assert event["data"] == {"id": job["id"]}
    assert headers["webhook-id"] == event["id"]
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    until(lambda: deliveries(api, made["id"])[0]["status"] == "delivered")
    assert made["secret"] not in api.http.get("/v1/webhooks").text


def test_the_signature_is_that_of_the_specification() -> None:
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"test": 2432232314}'
    signed = webhooks.signature(secret, delivery_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.usefixtures("check_worker")
def test_a_delivery_that_fails_is_tried_again_until_it_is_taken(api: Api, listener: Listener) -> None:
    made = hook(api, listener)
    listener.status = 500
    answered(api.http.post(f"/v1/webhooks/{made['id']}/test"))
    until(lambda: deliveries(api, made["id"])[0]["attempts"] == 1)
    waiting = deliveries(api, made["id"])[0]
    assert (waiting["status"], waiting["response_status"]) == ("pending", 500)
    assert waiting["next_at"] >= waiting["created_at"] + webhooks.RETRIES_S[0]
    listener.status = 204
    make_due()
    until(lambda: deliveries(api, made["id"])[0]["status"] == "delivered")
    assert len(listener.heard) == 2
    assert listener.heard[0][0]["webhook-id"] == listener.heard[1][0]["webhook-id"]


@pytest.mark.usefixtures("check_worker")
def test_a_delivery_that_nobody_takes_is_given_up(api: Api, listener: Listener) -> None:
    made = hook(api, listener)
    listener.status = 302
    answered(api.http.post(f"/v1/webhooks/{made['id']}/test"))
    for tried in range(1, len(webhooks.RETRIES_S) + 2):
        until(lambda tried=tried: deliveries(api, made["id"])[0]["attempts"] == tried)
        make_due()
    assert deliveries(api, made["id"])[0]["status"] == "failed"
    assert len(listener.heard) == len(webhooks.RETRIES_S) + 1


def make_due() -> None:
    """As if the time had passed."""
    with transaction() as session:
        session.execute(update(WebhookDelivery).values(next_at=utc_now() - timedelta(seconds=1)))
    with transaction() as session:
        webhooks.nudge_due(session)


def test_only_what_was_asked_for_is_told(api: Api, listener: Listener) -> None:
    made = hook(api, listener, events=["fine_tuning.job.succeeded"])
    answered(api.http.post(f"/v1/fine_tuning/jobs/{api.job()['id']}/cancel"))
    assert deliveries(api, made["id"]) == []


@pytest.mark.usefixtures("check_worker")
def test_the_address_of_a_clouds_credentials_is_never_asked(api: Api) -> None:
    made = answered(api.http.post("/v1/webhooks", json={"url": "http://169.254.169.254/latest/meta-data"}))
    answered(api.http.post(f"/v1/webhooks/{made['id']}/test"))
    until(lambda: deliveries(api, made["id"])[0]["attempts"] == 1)
    assert "link-local" in deliveries(api, made["id"])[0]["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"url": "ftp://example.org"},
        {"url": "https://user:word@example.org"},
        {"url": "https://"},
        {"url": "https://example.org", "events": []},
        {"url": "https://example.org", "events": ["job.exploded"]},
    ],
)
def test_an_address_or_event_that_cannot_be_is_refused(api: Api, body: dict[str, Any]) -> None:
    refused(api.http.post("/v1/webhooks", json=body), status=400)
    assert answered(api.http.get("/v1/webhooks"))["data"] == []


def test_a_webhook_goes_with_its_log(api: Api, listener: Listener) -> None:
    made = hook(api, listener)
    answered(api.http.post(f"/v1/webhooks/{made['id']}/test"))
    answered(api.http.delete(f"/v1/webhooks/{made['id']}"))
    refused(api.http.get(f"/v1/webhooks/{made['id']}/deliveries"), status=404)
