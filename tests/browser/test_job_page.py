"""The job page in a real browser: back navigation, a phone, and the control of a running job."""

import io
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from frontend.api import Client, new_connections
from frontend.words import starter
from tests.browser.conftest import Shoot
from tests.browser.profiles import Browser
from tests.browser.steps import TRAINING_MS, heading, part, sign_in
from tests.processes import Addresses

PHONE = {"width": 390, "height": 844}
STEPS = 2000
"""More steps than are taken here: the job trains until it is stopped."""


@pytest.fixture
def job(addresses: Addresses, key: str, check_worker: int, train_worker: object) -> Iterator[str]:
    """A running job."""
    found = starter.read()
    assert found is not None
    with new_connections(addresses.api) as connections:
        client = Client(connections, key=key)
        training, held_out = (
            client.upload(io.BytesIO(content), filename=name, mapping=None)["id"]
            for content, name in ((found.training, starter.TRAINING), (found.held_out, starter.HELD_OUT))
        )
        verifier = client.create_verifier(name="answer", grader=found.grader)["id"]
        body = starter.job_body(found, training=training, held_out=held_out, verifier=verifier)
        numbers = {"max_steps": STEPS, "eval_rows": 4, "eval_samples": 1, "self_check_rows": 0, "preflight_rows": 0}
        body["method"]["reinforcement"]["x_rlsd"] |= numbers
        made = client.create_job(body | {"suffix": "watched", "metadata": None})["id"]
        yield made
        if client.job(made)["status"] not in ("cancelled", "failed"):
            client.control_job(made, "cancel")


@pytest.fixture
def page(browser: Browser, addresses: Addresses, job: str, key: str) -> Iterator[Page]:
    """The job's page after some steps."""
    page = browser.open_page()
    page.goto(f"{addresses.ui}/job?job={job}")
    sign_in(page, key)
    heading(page, "watched")
    expect(page.get_by_text(re.compile(rf"step [1-9]\d* of {STEPS:,}"))).to_be_visible(timeout=TRAINING_MS)
    return page


def state(page: Page, name: str) -> None:
    expect(page.locator(".st-key-job_state")).to_contain_text(name, timeout=TRAINING_MS)


@pytest.mark.timeout(400)
def test_a_running_job_is_paused_resumed_and_cancelled(page: Page) -> None:
    state(page, "Training")
    page.get_by_role("button", name="Pause").click()
    state(page, "Paused")
    stood = page.get_by_text(re.compile(rf"step [\d,]+ of {STEPS:,}")).inner_text()
    page.get_by_role("button", name="Resume").click()
    state(page, "Training")
    expect(page.get_by_text(stood)).to_have_count(0, timeout=TRAINING_MS)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    state(page, "Cancelled")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)


@pytest.mark.timeout(300)
def test_back_leads_from_a_group_to_the_cards_and_from_any_tab_to_the_previous_page(page: Page) -> None:
    page.get_by_role("link", name="Jobs", exact=True).click()
    heading(page, "Jobs")
    page.get_by_role("link", name="watched").click()
    heading(page, "watched")
    part(page, "Events")
    expect(page).to_have_url(re.compile("view=Events"))
    page.go_back()
    heading(page, "Jobs")
    page.go_forward()
    heading(page, "watched")
    expect(page.get_by_role("radio", name="Events", exact=True)).to_be_checked()

    part(page, "Completions")
    page.get_by_role("radio", name="All steps").click()
    page.get_by_role("button", name="wrong", exact=True).click()
    expect(page.get_by_text(re.compile("^All steps: .* that match"))).to_be_visible()
    expect(page).to_have_url(re.compile("verdict=wrong"))
    group = page.get_by_role("heading", name=re.compile(r"^Row \d+ in step"))
    page.get_by_role("button", name="Whole group").first.click()
    expect(group).to_be_visible()
    page.go_back()
    expect(group).to_have_count(0)
    expect(page.get_by_text(re.compile("^All steps: .* that match"))).to_be_visible()
    page.go_forward()
    expect(group).to_be_visible()


@pytest.mark.timeout(300)
def test_a_job_is_watched_on_a_phone_without_scrolling_sideways(page: Page, shoot: Shoot) -> None:
    page.set_viewport_size(PHONE)
    for name in ("Learning", "Completions", "Checkpoints"):
        part(page, name)
        page.wait_for_timeout(1500)  # the layout changes
        page.wait_for_function(
            "most => document.querySelector('[data-testid=stMain]').scrollWidth <= most", arg=PHONE["width"]
        )
        shoot(page, f"job-phone-{name.lower()}")
