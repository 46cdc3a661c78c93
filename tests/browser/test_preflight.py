"""New job's pre-flight and teacher preview in a real browser: progress by itself, then what was found."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from frontend.client import Client, new_connections
from tests.browser.conftest import Shoot
from tests.browser.test_whole_way import go_to, opened, sign_in
from tests.frontend.servers import ROOT, running_api, running_ui, running_worker

STARTER = ROOT / "examples" / "starter"


@pytest.fixture(scope="module")
def addresses(services: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(API, UI) with a worker that samples."""
    logs = tmp_path_factory.mktemp("logs")
    with (
        running_api(logs / "api.log") as api_url,
        running_worker("sample", log=logs / "sample.log"),
        running_ui(logs / "ui.log", api_url=api_url) as ui_url,
    ):
        yield api_url, ui_url


def at_rest(page: Page) -> None:
    """The page has been drawn: a click while it still is may be lost."""
    expect(page.locator('[data-test-script-state="notRunning"]').first).to_be_visible()


@pytest.mark.timeout(300)
def test_a_pre_flight_shows_its_progress_and_its_report(
    browser: Browser, addresses: tuple[str, str], key: str, shoot: Shoot, tmp_path: Path
) -> None:
    api_url, ui_url = addresses
    with new_connections(api_url) as connections, (STARTER / "train.jsonl").open("rb") as content:
        client = Client(connections, key=key)
        client.upload(content, filename="starter.jsonl", mapping=None)
        grader = {"type": "python", "name": "starter", "source": (STARTER / "verifier.py").read_text()}
        client.create_verifier(name="starter", grader=grader)
    context = opened(browser)
    page = context.new_page()
    page.goto(ui_url)
    sign_in(page, key)
    go_to(page, "New job")
    at_rest(page)
    page.get_by_text("Try before training").click()
    page.locator(".st-key-preflight_go button").click()
    expect(page.get_by_test_id("stProgress")).to_be_visible()
    expect(page.get_by_text("Does the hint help?")).to_be_visible(timeout=120_000)
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    page.get_by_text("Solve rates of the rows").scroll_into_view_if_needed()
    shoot(page, "preflight")
    page.get_by_role("tab", name="Teacher preview").click()
    page.get_by_role("button", name="Show the prompts").click()
    expect(page.locator("mark").first).to_be_visible(timeout=60_000)
    page.get_by_text("Student", exact=True).scroll_into_view_if_needed()
    shoot(page, "teacher-preview")
    context.close()
