"""Two viewers of one job, and a server that stops and comes back while a page is open."""

import io
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from backend.db.engine import transaction
from backend.db.keys import Role, create_key
from backend.stack.embedded import Services
from frontend.api import Client, new_connections
from tests.browser.profiles import Browser
from tests.browser.steps import choose, sign_in, stay_signed_in, write, write_code
from tests.processes import free_port, running_api, running_ui
from tests.service.conftest import EXACT, job_body

ROWS = b"".join(b'{"question": "%d + 1?", "answer": "%d"}\n' % (n, n + 1) for n in range(12))
PLACES = {
    "": re.compile("."),
    "datasets?dataset={dataset}": "rows.jsonl",
    "new_job?dataset={dataset}": "New job",
    "jobs": "Jobs",
    "job?job={job}": re.compile("."),
    "models?model=starter": "starter",
}
"""Pages of each kind and their headings. `tests/frontend/test_pages.py` opens every page without an API."""
LIVE = ("", "jobs", "job?job={job}")
"""Pages that recover by themselves; the others need a click."""
AWAY = re.compile(r"^The service at .* is not responding\. Check that it is running")


@dataclass(frozen=True)
class Place:
    """A UI, the port of its API, and the API's log."""

    ui: str
    port: int
    log: Path


@pytest.fixture(scope="module")
def place(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    logs, port = tmp_path_factory.mktemp("logs"), free_port()
    with running_ui(logs / "ui.log", api_url=f"http://127.0.0.1:{port}") as ui:
        yield Place(ui, port, logs / "api.log")


def content(page: Page, name: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", name=name).first).to_be_visible()
    expect(page.get_by_text(AWAY)).to_have_count(0)


@pytest.mark.timeout(300)
def test_pages_report_that_the_server_is_down_and_recover(browser: Browser, place: Place, key: str) -> None:
    with ExitStack() as api:
        url = api.enter_context(running_api(place.log, port=place.port))
        with new_connections(url) as connections:
            client = Client(connections, key=key)
            dataset = client.upload(io.BytesIO(ROWS), filename="rows.jsonl", mapping=None)["id"]
            client.create_verifier(name="exact", grader=EXACT)
            job = client.create_job(job_body(dataset))["id"]
        page = browser.open_page()
        page.goto(place.ui)
        sign_in(page, key)
        stay_signed_in(page)
        pages = {}
        for address, heading in PLACES.items():
            pages[address] = page.context.new_page()
            pages[address].goto(f"{place.ui}/{address.format(dataset=dataset, job=job)}")
            content(pages[address], heading)
        api.close()
        for address, page in pages.items():
            if address not in LIVE:
                page.reload()
            expect(page.get_by_text(AWAY).first).to_be_visible()
            expect(page.get_by_test_id("stException")).to_have_count(0)
        api.enter_context(running_api(place.log, port=place.port))
        for address, heading in PLACES.items():
            if address not in LIVE:
                pages[address].reload()
            content(pages[address], heading)


@pytest.mark.timeout(200)
def test_unsaved_input_is_restored_when_the_server_is_back_and_after_a_refresh(
    browser: Browser, place: Place, key: str
) -> None:
    with ExitStack() as api:
        url = api.enter_context(running_api(place.log, port=place.port))
        with new_connections(url) as connections:
            client = Client(connections, key=key)
            dataset = client.upload(io.BytesIO(ROWS), filename="rows.jsonl", mapping=None)["id"]
            client.create_verifier(name="exact", grader=EXACT)
        page = browser.open_page()
        page.goto(f"{place.ui}/verifiers?verifier=new")
        sign_in(page, key)
        choose(page, "Kind", "Python")
        write_code(page, "Python source", "def grade(item, output_text):\n    return 0.25\n")
        page.get_by_text("An error counts as 0").click()
        write(page, "Name", "a quarter")
        other = page.context.new_page()
        other.goto(f"{place.ui}/new_job?dataset={dataset}")
        write(other, "Name (optional)", "first-try")
        other.get_by_text("Method and main settings").click()
        other.get_by_label("Training steps", exact=True).fill("33")
        other.get_by_label("Training steps", exact=True).press("Tab")
        expect(other.get_by_text("33 steps")).to_be_visible()
        api.close()
        write(page, "Name", "a quarter of it")
        write(other, "Name (optional)", "second-try")
        for each in (page, other):
            expect(each.get_by_text(AWAY).first).to_be_visible()
            each.get_by_role("button", name="Try again").click()  # still down
            expect(each.get_by_text(AWAY).first).to_be_visible()
        api.enter_context(running_api(place.log, port=place.port))
        for each in (page, other):
            each.get_by_role("button", name="Try again").click()
        for again in ("the server is back", "the browser is refreshed"):
            expect(page.get_by_label("Name", exact=True), again).to_have_value("a quarter of it")
            expect(page.locator(".cm-content").last).to_contain_text("return 0.25")
            expect(page.get_by_label("An error counts as 0", exact=True)).to_be_checked()
            expect(other.get_by_label("Name (optional)", exact=True), again).to_have_value("second-try")
            expect(other.get_by_text("33 steps")).to_be_visible()
            expect(other.get_by_label("Training steps", exact=True)).to_have_value("33")
            for each in (page, other):
                each.reload()


@pytest.mark.timeout(200)
def test_changes_reach_other_viewers_and_a_viewer_sees_why_controls_are_disabled(
    browser: Browser, place: Place, key: str
) -> None:
    with transaction() as session:
        looking = create_key(session, name="looks on", role=Role.VIEWER)[1]
    with running_api(place.log, port=place.port) as url, new_connections(url) as connections:
        client = Client(connections, key=key)
        dataset = client.upload(io.BytesIO(ROWS), filename="rows.jsonl", mapping=None)["id"]
        job = client.create_job(job_body(dataset))["id"]
        people = []
        for secret in (key, looking):
            page = browser.open_page()
            page.goto(f"{place.ui}/job?job={job}")
            sign_in(page, secret)
            expect(page.locator(".st-key-job_state")).to_contain_text("Waiting")
            people.append(page)
        editor, viewer = people
        expect(viewer.get_by_role("button", name="Pause")).to_be_disabled()
        expect(editor.locator(".st-key-job_state")).to_contain_text("Waiting")
        editor.get_by_role("button", name="Pause").click()
        for page in people:
            expect(page.locator(".st-key-job_state")).to_contain_text("Paused")
