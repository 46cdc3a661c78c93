"""What a browser is given to keep, and whom it asks."""

import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser.steps import go_to, opened, sign_in, signed_in_after_reload


@pytest.mark.timeout(120)
def test_the_key_never_reaches_the_address_or_what_the_browser_keeps(browser: Browser, ui: str, key: str) -> None:
    context = opened(browser)
    page = context.new_page()
    page.goto(ui)
    sign_in(page, key)
    signed_in_after_reload(page)
    [cookie] = [c for c in context.cookies() if c["name"] == "rlsd_session"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    kept = json.dumps([context.cookies(), context.storage_state(), page.url])
    assert key not in kept
    context.close()


@pytest.mark.timeout(120)
def test_no_page_asks_anything_of_another_host(browser: Browser, ui: str, key: str) -> None:
    context = opened(browser)
    page = context.new_page()
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).hostname or ""))
    page.goto(ui)
    sign_in(page, key)
    for name in ("Datasets", "Verifiers", "New job", "Jobs", "Home"):
        go_to(page, name)
    page.wait_for_timeout(1000)
    assert asked - {""} == {"127.0.0.1"}
    context.close()
