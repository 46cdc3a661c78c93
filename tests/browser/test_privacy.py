"""What a browser stores, and which hosts it requests."""

import json
from urllib.parse import urlsplit

import pytest

from tests.browser.profiles import Browser
from tests.browser.steps import go_to, sign_in, signed_in_after_reload


@pytest.mark.timeout(120)
def test_the_key_never_reaches_the_address_or_the_browsers_storage(browser: Browser, ui: str, key: str) -> None:
    page = browser.open_page()
    page.goto(ui)
    sign_in(page, key)
    signed_in_after_reload(page)
    [cookie] = [c for c in page.context.cookies() if c["name"].startswith("rlsd_session_")]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    kept = json.dumps([page.context.cookies(), page.context.storage_state(), page.url])
    assert key not in kept


@pytest.mark.timeout(120)
def test_no_page_requests_another_host(browser: Browser, ui: str, key: str) -> None:
    page = browser.open_page()
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
    page.goto(ui)
    sign_in(page, key)
    for name in ("Datasets", "Verifiers", "New job", "Jobs", "Home"):
        go_to(page, name)
    page.wait_for_timeout(1000)
    assert hosts - {""} == {"127.0.0.1"}
