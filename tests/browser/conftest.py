"""A real browser with the whole real stack: database, broker, API, both workers, UI."""

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.profiles import Browser
from tests.browser.steps import at_rest
from tests.processes import ROOT, Addresses, running_ui

FOR_DOCS = os.environ.get("RLSD_SCREENSHOTS") == "1"
"""Whether to write screenshots to docs/screenshots, from a run long enough to show something."""

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
"""Screenshots of each page, and of the tabs of the job page."""

Shoot = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def addresses(api_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """Addresses of the API and the UI that all tests share. Each test requests its own workers."""
    with running_ui(tmp_path_factory.mktemp("ui") / "log", api_url=api_url) as ui:
        yield Addresses(api_url, ui)


@pytest.fixture
def ui(addresses: Addresses) -> str:
    return addresses.ui


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests here, since no other event loop can run next to Playwright's."""
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = Browser(playwright, tmp_path_factory.mktemp("profiles"))
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def closed_pages(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close the pages of each test before the next one."""
    yield
    if "browser" in request.fixturenames:
        request.getfixturevalue("browser").forget()


@pytest.fixture
def shoot() -> Shoot:
    """Wait until a page is idle; with `make pictures`, save a screenshot."""
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
            page.wait_for_timeout(1500)  # charts are redrawn
            page.screenshot(path=folder / f"{name}-dark.png", full_page=False)
            page.emulate_media(color_scheme="light")
            page.wait_for_timeout(1500)  # the page is redrawn, and a click at that moment may be lost
            at_rest(page)

    return keep
