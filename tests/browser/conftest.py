"""A real browser before the whole real stack: database, broker, API, both workers, UI."""

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.steps import at_rest
from tests.machine import chromium
from tests.processes import ROOT, Addresses, running_ui

CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

FOR_DOCS = os.environ.get("RLSD_SCREENSHOTS") == "1"
"""Pictures go to docs/screenshots, of a run long enough to show something."""

IN_DARK_TOO = (
    "sign-in",
    "home-after",
    "datasets-first",
    "dataset",
    "verifier-gallery",
    "verifier",
    "new-job",
    "preflight",
    "jobs",
    "job-done",
    "completions",
    "credit",
    "rows-learned",
    "leakage",
    "rescore",
    "compare-new",
    "compare",
    "models",
    "model",
    "playground",
    "settings-you",
    "settings-people",
)
"""A picture of each page, and of the parts of a job's."""

Shoot = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def addresses(api_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """Of the API and the UI that all tests share. The workers behind them are those that a test asks for."""
    with running_ui(tmp_path_factory.mktemp("ui") / "log", api_url=api_url) as ui:
        yield Addresses(api_url, ui)


@pytest.fixture
def ui(addresses: Addresses) -> str:
    return addresses.ui


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One for all tests here. Others could run no event loop beside Playwright's."""
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(autouse=True)
def closed_pages(request: pytest.FixtureRequest) -> Iterator[None]:
    """No page of a test stays open beside the next one's."""
    yield
    if "browser" in request.fixturenames:
        for context in request.getfixturevalue("browser").contexts:
            context.close()


@pytest.fixture
def shoot() -> Shoot:
    """Let a page come to rest; with `make pictures`, keep a picture of it."""
    folder = ROOT / "docs" / "screenshots"

    def keep(page: Page, name: str) -> None:
        at_rest(page)
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
        if not FOR_DOCS:
            return
        expect(page.get_by_test_id("stToast")).to_have_count(0)
        page.evaluate("() => document.activeElement?.blur()")
        page.mouse.move(0, 0)
        page.wait_for_timeout(700)  # charts and fonts settle
        page.screenshot(path=folder / f"{name}.png", full_page=False)
        if name in IN_DARK_TOO:
            page.emulate_media(color_scheme="dark")
            page.wait_for_timeout(1500)  # charts are drawn anew
            page.screenshot(path=folder / f"{name}-dark.png", full_page=False)
            page.emulate_media(color_scheme="light")
            page.wait_for_timeout(1500)  # the page is drawn anew, and a press in that moment may be lost
            at_rest(page)

    return keep
