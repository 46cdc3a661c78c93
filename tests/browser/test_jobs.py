"""The tour on Home, the form of a new job and all tabs of the job page, in a real browser."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Shoot
from tests.browser.profiles import Browser
from tests.browser.steps import TRAINING_MS, at_rest, heading, part, sign_in

MINUTES = 5
"""Time limit of the tour here; Home promises a few minutes on a laptop."""


@pytest.mark.usefixtures("check_worker", "train_worker")
@pytest.mark.timeout(900)
def test_the_tour_ends_with_a_better_model_whose_job_can_be_inspected_and_repeated(
    browser: Browser, ui: str, key: str, shoot: Shoot
) -> None:
    page = browser.open_page()
    page.goto(ui)
    sign_in(page, key)
    heading(page, "Home")
    started = time.monotonic()
    take_the_tour(page, shoot)
    assert time.monotonic() - started < 60 * MINUTES
    completions(page, shoot)
    leakage(page, shoot)
    page.get_by_role("link", name="Train again with changes").click()
    heading(page, "New job")
    expect(page.get_by_role("radio", name="As in the original job")).to_be_checked()
    expect(page.get_by_role("textbox", name="Name (optional)")).to_have_value("starter-tour-2")
    expect(page.get_by_text(re.compile("^60 steps × 8 questions"))).to_be_visible()
    expect(page.get_by_text(re.compile("80 % of them"))).to_be_visible()
    shoot(page, "new-job-clone")
    page.get_by_text("Method and main settings").click()
    expect(page.get_by_role("spinbutton", name="Training steps")).to_have_value("60")
    compare_methods(page, shoot)


def take_the_tour(page: Page, shoot: Shoot) -> None:
    expect(page.get_by_text("Try an example")).to_be_visible()
    shoot(page, "home-tour")
    page.get_by_role("button", name="Try it with the starter").click()
    expect(page.get_by_role("heading", name="starter-tour")).to_be_visible(timeout=60_000)
    expect(page).to_have_url(re.compile(r"/job\?job=ftjob-\w+"))
    expect(page.get_by_text("Tour: the model is learning")).to_be_visible(timeout=TRAINING_MS)
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    page.wait_for_function("() => Number((document.body.innerText.match(/step (\\d+) of/) || [0, 0])[1]) > 12")
    shoot(page, "tour-running")
    expect(page.locator(".st-key-job_state")).to_contain_text("Done", timeout=TRAINING_MS)
    expect(page.get_by_text("Tour: a better model")).to_be_visible()
    expect(page.get_by_text("step 60 of 60")).to_be_visible()
    expect(page.get_by_text(re.compile("Training helped"))).to_be_visible()
    shoot(page, "tour-done")


def completions(page: Page, shoot: Shoot) -> None:
    part(page, "Completions")
    expect(page.get_by_text("Step 60: 64 completions.")).to_be_visible()
    page.get_by_role("radio", name="All steps").click()
    expect(page.get_by_text(re.compile("^All steps: the newest 100 completions"))).to_be_visible()
    page.get_by_role("button", name="wrong", exact=True).click()
    page.get_by_text("Mixed groups only").click()
    page.get_by_text("With token credit only").click()
    search = page.get_by_role("textbox", name="Text in completion")
    search.fill("nothing has this")
    search.press("Enter")
    expect(page.get_by_text("No completion matches these filters.")).to_be_visible()
    search.fill("ANSWER:")
    search.press("Enter")
    expect(page.get_by_text(re.compile("completions? that match"))).to_be_visible()
    at_rest(page)
    shoot(page, "completions")
    cards = page.locator("[class*=st-key-card_rollout]")
    expect(cards.first).to_be_visible()
    for place in range(cards.count()):
        expect(cards.nth(place)).to_contain_text("wrong")
    cards.first.get_by_role("button", name="Whole group").click()
    expect(page).to_have_url(re.compile(r"group=\d+-\d+"))
    expect(page.get_by_role("heading", name=re.compile(r"^Row \d+ in step \d+: \d right, \d wrong"))).to_be_visible()
    shoot(page, "group")
    page.reload()
    expect(page.get_by_role("heading", name=re.compile(r"^Row \d+ in step"))).to_be_visible()
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("radio", name="All steps")).to_be_checked()
    expect(page.get_by_role("button", name="wrong", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("textbox", name="Text in completion")).to_have_value("ANSWER:")
    expect(page.get_by_text(re.compile("completions? that match"))).to_be_visible()
    cards.first.get_by_role("button", name="Token credit").click()
    expect(page).to_have_url(re.compile(r"rollout=rollout-\d+-\d+"))
    expect(page.locator(".tokens span").first).to_be_visible()
    assert page.locator(".tokens span").first.get_attribute("title").startswith("token 1: weight ")
    shoot(page, "credit")
    page.get_by_text("Compare with GRPO").click()
    expect(page.locator(".tokens")).to_have_count(2)
    expect(page.get_by_text(re.compile("^RLSD: tokens get"))).to_be_visible()
    shoot(page, "credit-beside-grpo")
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("radio", name="All steps")).to_be_checked()


def leakage(page: Page, shoot: Shoot) -> None:
    part(page, "Leakage")
    expect(page.get_by_text("Does the content of the hint matter?")).to_be_visible()
    expect(page.get_by_text("How it was measured")).to_be_visible()
    shoot(page, "leakage")
    part(page, "Rows")
    expect(page.get_by_text("Train again without these rows")).to_be_visible()
    shoot(page, "rows-learned")


def compare_methods(page: Page, shoot: Shoot) -> None:
    page.get_by_text("Compare methods", exact=True).click()
    expect(page.get_by_text("9 jobs, one after the other.")).to_be_visible()
    shoot(page, "new-job-compare")
    page.get_by_role("spinbutton", name="Training steps").fill("1")
    page.get_by_role("spinbutton", name="Training steps").press("Tab")
    page.get_by_role("spinbutton", name="Seeds per method").fill("1")
    page.get_by_role("spinbutton", name="Seeds per method").press("Tab")
    expect(page.get_by_text("3 jobs, one after the other.")).to_be_visible()
    at_rest(page)
    page.get_by_role("button", name="Start comparison").click()
    expect(page).to_have_url(re.compile(r"/compare\?comparison=\w+-\w+"))


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("datasets?dataset=file-none", "Datasets"),
        ("settings?section=Keys", "Settings"),
        ("jobs?stage=Running", "Jobs"),
        ("models?model=starter", "Models"),
    ],
)
def test_a_menu_entry_leads_from_an_open_object_to_its_list(
    browser: Browser, ui: str, key: str, place: str, name: str
) -> None:
    page = browser.open_page()
    page.goto(f"{ui}/{place}")
    sign_in(page, key)
    at_rest(page)
    page.get_by_role("link", name=name, exact=True).click()
    expect(page).to_have_url(f"{ui}/{place.partition('?')[0]}")
    heading(page, name)
    expect(page.get_by_test_id("stException")).to_have_count(0)
