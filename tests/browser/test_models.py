"""Compare, Models and Playground in a real browser: two methods trained, the verdict, their answers."""

import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from frontend.api import Client, new_connections
from tests.browser.conftest import FOR_DOCS, Shoot
from tests.browser.profiles import Browser
from tests.browser.steps import SCORE, TRAINING_MS, answered, at_rest, go_to, heading, part, row_to_ask, sign_in
from tests.processes import STARTER, Addresses

STEPS, SEEDS, ROWS = (60, 2, 400) if FOR_DOCS else (6, 1, 100)
NUMBERS = {
    "Training steps": STEPS,
    "Maximum completion length (tokens)": 64,
    "Learning rate": 0.001,
    "Seeds per method": SEEDS,
    "Steps between evaluations": STEPS // 3,
}


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("train_worker", "check_worker", "chat_worker")
def test_two_methods_are_compared_and_their_models_answer(
    browser: Browser, addresses: Addresses, key: str, shoot: Shoot, tmp_path: Path
) -> None:
    rows = b"".join((STARTER / "train.jsonl").read_bytes().splitlines(keepends=True)[:ROWS])
    with new_connections(addresses.api) as connections:
        client = Client(connections, key=key)
        client.upload(io.BytesIO(rows), filename="handbook.jsonl", mapping=None)
        grader = {"type": "python", "name": "handbook answer", "source": (STARTER / "verifier.py").read_text()}
        client.create_verifier(name="handbook answer", grader=grader)
    page = browser.open_page()
    page.goto(addresses.ui)
    sign_in(page, key)
    heading(page, "Home")
    at_rest(page)
    address = start_comparison(page, shoot)
    page.reload()
    expect(page.get_by_text(re.compile("runs? ended ·")).first).to_be_visible()
    assert page.url == address
    expect(page.locator(".st-key-comparison_state")).to_contain_text("Ended", timeout=TRAINING_MS)
    result(page, shoot)
    ask_each(page, shoot)
    model(page, shoot)
    playground(page, shoot)
    narrow(browser, address, key, shoot)


def start_comparison(page: Page, shoot: Shoot) -> str:
    """Start a comparison and return its address."""
    go_to(page, "Compare")
    expect(page.get_by_text("No comparisons yet.")).to_be_visible()
    page.get_by_role("button", name="New comparison").click()
    heading(page, "Methods")
    for label, value in NUMBERS.items():
        field = page.get_by_role("spinbutton", name=label)
        field.fill(str(value))
        field.press("Tab")
        at_rest(page)
    expect(page.get_by_text(re.compile(f"3 methods × {SEEDS} seeds?: {3 * SEEDS} jobs"))).to_be_visible()
    page.get_by_role("button", name="SFT", exact=True).click()
    expect(page.get_by_text(re.compile(f"2 methods × {SEEDS} seeds?: {2 * SEEDS} jobs"))).to_be_visible()
    page.get_by_role("heading", name="Methods").scroll_into_view_if_needed()
    shoot(page, "compare-new")
    page.get_by_role("button", name="Start comparison").click()
    heading(page, "RLSD vs. GRPO on handbook.jsonl")
    page.wait_for_url(re.compile(r"/compare\?comparison=cmp-\w+$"))
    shoot(page, "compare-running")
    return page.url


def result(page: Page, shoot: Shoot) -> None:
    expect(page.get_by_text(re.compile(r"n = \d+, interval"))).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(2)
    expect(page.get_by_test_id("stAlert")).not_to_contain_text("Preliminary")
    verdict = page.get_by_test_id("stAlert").inner_text()
    shoot(page, "compare")
    page.reload()
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(2)
    assert page.get_by_test_id("stAlert").inner_text() == verdict
    part(page, "Curves")
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(1)
    shoot(page, "compare-curves")
    part(page, "Differences")
    expect(page.get_by_text("All other settings are the same.")).to_be_visible()
    part(page, "Runs")
    expect(page.get_by_role("link", name="seed 0: done")).to_have_count(2)
    shoot(page, "compare-runs")


def ask_each(page: Page, shoot: Shoot) -> None:
    part(page, "Try")
    row_to_ask(page)
    page.get_by_role("button", name="Ask all 3").click()
    answered(page, 3)
    page.get_by_text(SCORE).first.scroll_into_view_if_needed()
    shoot(page, "compare-ask-each")


def model(page: Page, shoot: Shoot) -> None:
    go_to(page, "Models")
    expect(page.get_by_text(re.compile("held-out score"))).to_have_count(2 * SEEDS)
    shoot(page, "models")
    page.get_by_role("button", name=re.compile("^starter · ")).first.click()
    expect(page.get_by_text("An adapter is a small set of weights", exact=False)).to_be_visible()
    assert re.search(r"\?model=ft%3Astarter|\?model=ft:starter", page.url)
    shoot(page, "model")
    part(page, "Use it")
    expect(page.get_by_text("On your own server, with vLLM")).to_be_visible()
    shoot(page, "model-use")
    part(page, "Downloads")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download", exact=True).click()
    assert started.value.suggested_filename.endswith("-adapter.zip")


def playground(page: Page, shoot: Shoot) -> None:
    page.get_by_role("button", name="Compare with base model").click()
    heading(page, "Playground")
    row_to_ask(page)
    page.get_by_role("button", name="Ask both").click()
    answered(page, 2)
    page.get_by_text(SCORE).first.scroll_into_view_if_needed()
    shoot(page, "playground")
    address = page.url
    page.reload()
    heading(page, "Playground")
    expect(page.get_by_role("combobox", name="Left: base model")).to_have_value("starter")
    answered(page, 2)
    assert page.url == address


def narrow(browser: Browser, address: str, key: str, shoot: Shoot) -> None:
    """Show the verdict on a phone."""
    page = browser.open_page()
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address)
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text(re.compile(r"n = \d+, interval"))).to_be_visible(timeout=30_000)
    shoot(page, "compare-narrow")
    wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert wide <= 390
