"""Steps that a person takes on any page."""

import re
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Page, TimeoutError, expect

TRAINING_MS = 480_000
REST_MS = 150
RESTS_FOR = """ms => {
  const state = document.querySelector("[data-test-script-state]")?.dataset.testScriptState;
  if (state !== "notRunning") { window.restsSince = undefined; return false; }
  window.restsSince ??= performance.now();
  return performance.now() - window.restsSince > ms;
}"""
TRIES = 3
"""Times that a step is tried: a menu closes if the page below it is redrawn or moved; a person opens it again."""
ENDED = re.compile(r"tokens?, (complete|cut off)")
"""The caption of a complete answer."""
SCORE = re.compile(r"^score [\d.]+\s*$")
"""The caption of an answer."""


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def stay_signed_in(page: Page) -> None:
    """Sign in and wait for the cookie, which is fetched just after sign-in."""
    page.wait_for_function("() => performance.getEntriesByType('resource').some(e => e.name.endsWith('/session'))")


def signed_in_after_reload(page: Page) -> None:
    stay_signed_in(page)
    page.reload()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def at_rest(page: Page) -> None:
    """Wait until the page is drawn and no rerun has started, since a click then may be lost."""
    page.wait_for_function(RESTS_FOR, arg=REST_MS, polling=REST_MS / 3)


def heading(page: Page, name: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", name=name, exact=True).first).to_be_visible()


def go_to(page: Page, name: str) -> None:
    """Open a page from the menu once this one is idle; a press while it is drawn may be lost."""
    at_rest(page)
    page.get_by_role("link", name=name, exact=True).click()
    heading(page, name)


def part(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).click()
    expect(page.get_by_role("radio", name=name, exact=True)).to_be_checked()


def choose_file(page: Page, path: Path) -> None:
    """Choose a file once the page is idle; a file chosen while the page is drawn is lost."""
    at_rest(page)
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_text(path.name).first).to_be_visible()


def choose(page: Page, label: str, option: str | re.Pattern[str]) -> None:
    at_rest(page)
    menu = page.get_by_role("combobox", name=label, exact=True)
    menu.scroll_into_view_if_needed()
    wanted = page.get_by_role("option", name=option, exact=isinstance(option, str))
    for _ in range(TRIES):
        menu.click()
        with suppress(TimeoutError):
            wanted.click(timeout=5_000)
            return
    raise AssertionError(f"the menu {label!r} offers no {option!r}, or closes")


def write(page: Page, label: str, text: str, *, last: bool = False) -> None:
    """Fill a field and leave it, so that the page receives the value."""
    fields = page.get_by_role("textbox", name=label, exact=True)
    field = fields.last if last else fields.first
    field.fill(text)
    field.press("Tab")


def write_code(page: Page, label: str, text: str) -> None:
    """Type into the code editor, which sends its text shortly after the last key press."""
    at_rest(page)
    field = page.get_by_role("textbox", name=label, exact=True)
    field.click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(text)
    expect(field).to_contain_text(text.splitlines()[0])


def write_number(page: Page, label: str, value: float) -> None:
    field = page.get_by_role("spinbutton", name=label)
    field.fill(str(value))
    field.press("Tab")
    at_rest(page)


def row_to_ask(page: Page) -> None:
    """Choose a dataset row as the question to models."""
    page.get_by_role("radio", name="Dataset row", exact=True).click()
    expect(page.get_by_text("Right answer (not shown to the models)")).to_be_visible()
    at_rest(page)


def answered(page: Page, count: int) -> None:
    """Wait until all answers are complete, and each has a score."""
    expect(page.get_by_text(ENDED)).to_have_count(count, timeout=120_000)
    expect(page.get_by_text(SCORE)).to_have_count(count, timeout=60_000)


def download(page: Page, name: str, path: Path) -> Path:
    with page.expect_download(timeout=60_000) as started:
        page.get_by_role("button", name=name, exact=True).click()
    started.value.save_as(path)
    return path
