"""The pre-flight and the teacher preview of a new job in a real browser: live progress, then the result."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from frontend.api import Client, new_connections
from tests.browser.conftest import Shoot
from tests.browser.profiles import Browser
from tests.browser.steps import at_rest, go_to, sign_in
from tests.processes import STARTER, Addresses


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("sample_worker")
def test_a_pre_flight_shows_its_progress_and_its_report(
    browser: Browser, addresses: Addresses, key: str, shoot: Shoot, tmp_path: Path
) -> None:
    with new_connections(addresses.api) as connections, (STARTER / "train.jsonl").open("rb") as content:
        client = Client(connections, key=key)
        client.upload(content, filename="starter.jsonl", mapping=None)
        grader = {"type": "python", "name": "starter", "source": (STARTER / "verifier.py").read_text()}
        client.create_verifier(name="starter", grader=grader)
    page = browser.open_page()
    page.goto(addresses.ui)
    sign_in(page, key)
    go_to(page, "New job")
    at_rest(page)
    page.get_by_text("Test before training").click()
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
