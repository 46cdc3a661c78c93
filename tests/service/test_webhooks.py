"""Webhooks: signatures as specified, delivery by a worker, retries, and the delivery log."""

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
from sqlalchemy import select, text, update

from backend import webhooks
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.webhooks import WebhookDelivery
from backend.queue import celery_app, queue_length
from tests.service.conftest import Api, answered, refused


@dataclass(slots=True)
class Listener:
    """A receiving server; `status` is its next response."""

    url: str = ""
    status: int = 200
    thinking: threading.Lock = field(default_factory=threading.Lock)
    """While held, the server does not respond."""
    received: list[tuple[dict[str, str], str]] = field(default_factory=list)

    def wait(self, count: int) -> None:
        wait_until(lambda: len(self.received) >= count)


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            found.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            with found.thinking:
                self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the console."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    yield found
    server.shutdown()


def wait_until(condition: Callable[[], bool]) -> None:
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
def test_the_end_of_a_job_is_sent_with_a_valid_signature(api: Api, listener: Listener) -> None:
    made = hook(api, listener)
    job = api.job()
    answered(api.http.post(f"/v1/fine_tuning/jobs/{job['id']}/cancel"))
    listener.wait(1)
    headers, body = listener.received[0]
    event = json.loads(body)
    assert event["type"] == "fine_tuning.job.cancelled"
    assert event["data"] == {"id": job["id"]}
    assert headers["webhook-id"] == event["id"]
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    wait_until(lambda: deliveries(api, made["id"])[0]["status"] == "delivered")
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
    wait_until(lambda: deliveries(api, made["id"])[0]["attempts"] == 1)
    delivery = deliveries(api, made["id"])[0]
    assert (delivery["status"], delivery["response_status"]) == ("pending", 500)
    assert delivery["next_at"] >= delivery["created_at"] + webhooks.RETRIES_S[0]
    listener.status = 204
    make_due()
    wait_until(lambda: deliveries(api, made["id"])[0]["status"] == "delivered")
    assert len(listener.received) == 2
    assert listener.received[0][0]["webhook-id"] == listener.received[1][0]["webhook-id"]


@pytest.mark.usefixtures("check_worker")
def test_the_list_reports_the_newest_delivery_of_each_webhook(api: Api, listener: Listener) -> None:
    twice, once, unused = (hook(api, listener)["id"] for _ in range(3))
    for hook_id in (twice, once, twice):
        answered(api.http.post(f"/v1/webhooks/{hook_id}/test"))
    hook_ids = (twice, once, unused)
    wait_until(lambda: all(each["status"] == "delivered" for hook_id in hook_ids for each in deliveries(api, hook_id)))
    last = {each["id"]: each["last_delivery"] for each in answered(api.http.get("/v1/webhooks"))["data"]}
    assert last == {twice: deliveries(api, twice)[0], once: deliveries(api, once)[0], unused: None}


@pytest.mark.usefixtures("check_worker")
def test_a_delivery_that_always_fails_is_given_up(api: Api, listener: Listener) -> None:
    made = hook(api, listener)
    listener.status = 302
    answered(api.http.post(f"/v1/webhooks/{made['id']}/test"))
    for tried in range(1, len(webhooks.RETRIES_S) + 2):
        wait_until(lambda tried=tried: deliveries(api, made["id"])[0]["attempts"] == tried)
        make_due()
    assert deliveries(api, made["id"])[0]["status"] == "failed"
    assert len(listener.received) == len(webhooks.RETRIES_S) + 1


def make_due() -> None:
    """Make the retries due, and sweep."""
    with transaction() as session:
        session.execute(update(WebhookDelivery).values(next_at=utc_now() - timedelta(seconds=1)))
    with transaction() as session:
        webhooks.nudge_due(session)


def test_only_subscribed_events_are_sent(api: Api, listener: Listener) -> None:
    made = hook(api, listener, events=["fine_tuning.job.succeeded"])
    answered(api.http.post(f"/v1/fine_tuning/jobs/{api.job()['id']}/cancel"))
    assert deliveries(api, made["id"]) == []


@pytest.mark.usefixtures("check_worker")
@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "127.0.0.2", "[::1]"])
def test_addresses_in_the_workers_networks_are_never_contacted(api: Api, host: str) -> None:
    made = answered(api.http.post("/v1/webhooks", json={"url": f"http://{host}:9/latest/meta-data"}))
    answered(api.http.post(f"/v1/webhooks/{made['id']}/test"))
    wait_until(lambda: deliveries(api, made["id"])[0]["attempts"] == 1)
    assert "has no public address" in deliveries(api, made["id"])[0]["error"]


@pytest.fixture
def unattended_queue(monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue for deliveries that no worker consumes."""
    monkeypatch.setattr(webhooks, "CHECK_QUEUE", "unattended_queue")
    return "unattended_queue"


def new_delivery(api: Api, listener: Listener) -> str:
    """Create a delivery and return its id."""
    made = hook(api, listener)
    return str(answered(api.http.post(f"/v1/webhooks/{made['id']}/test"))["id"])


def test_a_delivery_is_nudged_once_however_many_sweep_while_no_worker_takes_it(
    api: Api, listener: Listener, unattended_queue: str
) -> None:
    new_delivery(api, listener)
    with transaction() as session:
        session.execute(update(WebhookDelivery).values(nudged_at=None))
    for _ in range(4):
        with transaction() as session:
            webhooks.nudge_due(session)
    assert queue_length(unattended_queue) == 2  # the first message, and one for all sweeps


def test_one_sweep_nudges_at_a_time(api: Api, listener: Listener, unattended_queue: str) -> None:
    new_delivery(api, listener)
    lose_messages()
    with transaction() as one, transaction() as other:
        webhooks.nudge_due(one)
        webhooks.nudge_due(other)
    assert queue_length(unattended_queue) == 1


def test_a_delivery_whose_message_was_lost_is_nudged_again(api: Api, listener: Listener, unattended_queue: str) -> None:
    new_delivery(api, listener)
    lose_messages()
    for _ in range(2):
        with transaction() as session:
            webhooks.nudge_due(session)
    assert queue_length(unattended_queue) == 1


def test_a_try_that_its_worker_does_not_survive_is_made_again(
    api: Api, listener: Listener, unattended_queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = new_delivery(api, listener)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as dying, pytest.raises(SystemExit):
        dying.setattr(hmac, "new", die)
        webhooks.deliver(delivery)
    webhooks.deliver(delivery)
    with transaction() as session:
        assert session.get_one(WebhookDelivery, delivery).attempts == 0
    make_due()
    assert queue_length(unattended_queue) == 2
    webhooks.deliver(delivery)
    with transaction() as session:
        assert session.get_one(WebhookDelivery, delivery).attempts == 1


@pytest.mark.usefixtures("check_worker")
def test_a_delivery_can_be_read_and_deleted_while_the_receiver_is_slow(api: Api, listener: Listener) -> None:
    made = hook(api, listener)
    with listener.thinking:
        answered(api.http.post(f"/v1/webhooks/{made['id']}/test"))
        listener.wait(1)
        with transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '1s'"))
            assert session.scalar(select(WebhookDelivery).with_for_update()) is not None
    wait_until(lambda: deliveries(api, made["id"])[0]["status"] == "delivered")


def lose_messages() -> None:
    """Remove the messages from the broker, and age the deliveries."""
    with celery_app.connection_for_write() as connection:
        connection.default_channel.client.flushdb()
    with transaction() as session:
        session.execute(update(WebhookDelivery).values(nudged_at=utc_now() - 2 * webhooks.LATE))


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
