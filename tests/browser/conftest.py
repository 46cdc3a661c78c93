"""A real browser before the whole real stack: database, broker, API, both workers, UI."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from backend.db.engine import transaction
from backend.db.keys import create_key
from backend.embedded import Services
from tests.browser.steps import at_rest
from tests.frontend.servers import ROOT, running_stack

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


@pytest.fixture(scope="module")
def ui(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a UI that no worker stands behind."""
    with running_stack(tmp_path_factory.mktemp("logs")) as addresses:
        yield addresses.ui


@pytest.fixture(scope="module")
def stack(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a UI whose API has workers that train and check behind it."""
    with running_stack(tmp_path_factory.mktemp("logs"), "check", "train") as addresses:
        yield addresses.ui


@pytest.fixture
def key(clean_database: Services) -> str:
    with transaction() as session:
        return create_key(session, name="browser")[1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "These tests need a Chromium: install the package `chromium`."
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    """Keep a picture of a page."""
    folder = ROOT / "docs" / "screenshots" if FOR_DOCS else tmp_path / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        at_rest(page)
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
        if FOR_DOCS:
            expect(page.get_by_test_id("stToast")).to_have_count(0)
            page.evaluate("() => document.activeElement?.blur()")
            page.mouse.move(0, 0)
        page.wait_for_timeout(700)  # charts and fonts settle
        page.screenshot(path=folder / f"{name}.png", full_page=False)
        if FOR_DOCS and name in IN_DARK_TOO:
            page.emulate_media(color_scheme="dark")
            page.wait_for_timeout(1500)  # charts are drawn anew
            page.screenshot(path=folder / f"{name}-dark.png", full_page=False)
            page.emulate_media(color_scheme="light")
            page.wait_for_timeout(1500)  # the page is drawn anew, and a press in that moment may be lost
            at_rest(page)

    return keep
