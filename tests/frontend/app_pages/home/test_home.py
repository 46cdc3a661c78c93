"""Home: open jobs are shown however many came after them; the four steps; the number of requests."""

import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from backend.db.base import utc_now
from backend.db.chat import record_usage
from backend.db.engine import transaction
from backend.db.files import File, FileStatus
from backend.db.jobs import Job
from backend.db.projects import DEFAULT_PROJECT
from backend.db.webhooks import Webhook
from backend.webhooks import deliver_to
from frontend.api import Client, new_connections
from frontend.app_pages.home.feed import HomeFeed
from frontend.words.job_states import ENDED
from tests.frontend.api.test_api import new_job
from tests.frontend.test_pages import opened, words
from tests.frontend.trained import trained


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


def many_later(job_id: str, *, count: int) -> None:
    """Create jobs after this one, and cancel them."""
    with transaction() as session:
        job = session.get_one(Job, job_id)
        alike = {column.key: getattr(job, column.key) for column in Job.__table__.columns}
        ended = {"state": "cancelled", "finished_at": utc_now(), "created_at": job.created_at + timedelta(hours=1)}
        session.add_all(Job(**alike | ended | {"id": f"ftjob-later{n}"}) for n in range(count))


def test_a_paused_and_a_waiting_job_are_shown_however_many_came_after_them(
    client: Client, key: str, rows_file: Path
) -> None:
    paused, waiting = new_job(client, rows_file), new_job(client, rows_file)
    client.control_job(paused, "pause")
    many_later(waiting, count=60)
    with transaction() as session:
        file = session.scalars(select(File)).first()
        assert file is not None
        file.filename, file.status, file.status_details = "broken.csv", FileStatus.ERROR, "line 3 is not CSV."
    app = opened("home", key=key)
    assert not app.exception
    links = [(link.proto.label, link.proto.query_string) for link in app.get("page_link")]
    assert any("is paused" in label and paused in to for label, to in links)
    assert any(waiting in to for _, to in links)
    assert any("broken" in label and file.id in to for label, to in links)
    assert "line 3 is not CSV." in [text.value for text in app.text]
    assert "1 job is waiting" in words(app)


def test_the_steps_are_done_once_a_trained_model_was_used(client: Client, key: str, rows_file: Path) -> None:
    def steps() -> list[str]:
        return re.findall(r":(\w+)-badge\[", "\n".join(text.value for text in opened("home", key=key).markdown))[:4]

    name = trained(new_job(client, rows_file))
    assert steps() == ["green", "green", "green", "primary"]
    with transaction() as session:
        record_usage(session, project=DEFAULT_PROJECT, model=name, prompt_tokens=1, completion_tokens=1)
    assert steps() == ["green"] * 4


def test_home_makes_two_requests_per_tick_and_reads_all_lists(
    api_url: str, client: Client, key: str, rows_file: Path
) -> None:
    sent: list[httpx.URL] = []
    with httpx.Client(base_url=api_url, event_hooks={"request": [lambda request: sent.append(request.url)]}) as http:
        feed, watching = HomeFeed(is_admin=True), Client(http, key=key)
        feed.tick(watching)
        job_id = new_job(client, rows_file)
        opening = {(url.path, url.query) for url in sent}
        sent.clear()
        for _ in range(5):
            feed.tick(watching)
        assert len(sent) == 10  # two per tick
        assert {(url.path, url.query) for url in sent} == opening
    assert [job["id"] for job in feed.moving] == [job_id]
    assert [file["id"] for file in feed.files] == [client.job(job_id)["training_file"]]
    assert all(job["status"] in ENDED for job in feed.ended)


def test_a_failing_webhook_is_shown_to_admins(api_url: str, client: Client, key: str) -> None:
    hook = client.create_webhook("https://a.example/x", events=["fine_tuning.job.failed"])
    with transaction() as session:
        [stored] = session.scalars(select(Webhook))
        sent = deliver_to(session, stored, kind="webhook.test", object_id=stored.id)
        sent.attempts, sent.error = 1, "The server responded with status 500."
    editor = client.create_key(name="writer", role="editor", expires_in_days=None)["secret"]

    def shown(key: str) -> bool:
        return any(hook["id"] in link.proto.query_string for link in opened("home", key=key).get("page_link"))

    assert shown(key)
    assert not shown(editor)

    with new_connections(api_url) as connections:
        feed = HomeFeed(is_admin=True)
        feed.tick(Client(connections, key=editor))
    assert (feed.is_admin, feed.webhooks, feed.ticks) == (False, [], 1), "an admin no more since the page was opened"
