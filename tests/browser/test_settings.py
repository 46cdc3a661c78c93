"""Settings in a real browser: keys, people, limits, the audit log, webhooks and workers; wide and narrow."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from frontend.api import Client, new_connections
from tests.browser.conftest import Shoot
from tests.browser.profiles import Browser
from tests.browser.steps import at_rest, choose, heading, part, sign_in
from tests.processes import running_stack
from tests.service.test_oidc import Provider, provider

__all__ = ["provider"]

PHONE = {"width": 390, "height": 844}


class listening:
    """A server that responds to every request with 204."""

    def __enter__(self) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}/hooks/rlsd"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()


@pytest.fixture
def listener() -> Iterator[str]:
    """Address of a program that receives webhooks."""
    with listening() as address:
        yield address


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("check_worker")
def test_an_administrator_sets_the_server_up_and_a_viewer_sees_what_they_may(
    browser: Browser, ui: str, listener: str, key: str, shoot: Shoot
) -> None:
    page = browser.open_page()
    page.goto(f"{ui}/settings")
    sign_in(page, key)
    heading(page, "Settings")
    expect(page.get_by_text("Project usage")).to_be_visible()
    shoot(page, "settings-you")

    secret = a_key_is_made(page, shoot)
    people(page, shoot)
    projects(page, shoot)
    webhook(page, shoot, listener=listener)
    part(page, "Workers")
    expect(page.get_by_text("Training: no worker is running")).to_be_visible()
    expect(page.get_by_text("Sandbox level")).to_be_visible()
    shoot(page, "settings-workers")
    audit(page, shoot)
    narrow(page, shoot)

    viewer = browser.open_page()
    viewer.goto(f"{ui}/settings?section=Keys")
    sign_in(viewer, secret)
    expect(viewer.get_by_text("Your role has no access")).to_be_visible()
    expect(viewer.get_by_text("Your role in “default” is viewer")).to_be_visible()
    shoot(viewer, "settings-denied")

    page.set_viewport_size({"width": 1280, "height": 900})
    part(page, "Keys")
    page.get_by_role("button", name="Revoke").first.click()
    page.get_by_role("button", name="Revoke now").click()
    expect(page.get_by_text("Key “dashboard” revoked.")).to_be_visible()
    expect(page.locator("[class*=st-key-row_key]").filter(has_text="dashboard")).to_contain_text("Revoked")


@pytest.mark.timeout(180)
def test_a_member_signs_in_through_the_identity_provider(
    browser: Browser, provider: Provider, key: str, shoot: Shoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLSD_OIDC_CLIENT_SECRET", "of the test")
    monkeypatch.setenv("RLSD_UI_URL", "http://127.0.0.1:{port}")
    with running_stack(tmp_path) as addresses:
        ui = addresses.ui
        page = browser.open_page()
        page.goto(f"{ui}/settings")
        sign_in_button = page.get_by_role("button", name="Sign in with your organisation")
        expect(sign_in_button).to_be_visible()
        shoot(page, "sign-in-organisation")
        sign_in_button.click()
        expect(page.get_by_text("'ada@example.org' has no access to this server")).to_be_visible()

        with new_connections(addresses.api) as connections:
            Client(connections, key=key).set_member("ada@example.org", role="viewer")
        page.reload()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        page.goto(f"{ui}/settings")
        expect(page.get_by_text("You signed in as ada@example.org")).to_be_visible()

        with page.expect_navigation(url=f"{ui}/"):  # over the route that deletes the provider's cookie
            page.get_by_role("button", name="Sign out").click()
        expect(sign_in_button).to_be_visible()
        page.reload()
        expect(sign_in_button).to_be_visible()


def a_key_is_made(page: Page, shoot: Shoot) -> str:
    """Create a viewer's key and return its secret, read from the box."""
    part(page, "Keys")
    assert page.url.endswith("section=Keys")
    expect(page.locator("[class*=st-key-row_key]")).to_have_count(1)
    unfold(page, "New key")
    page.get_by_label("Name", exact=True).fill("dashboard")
    choose(page, "Role", "viewer")
    shoot(page, "settings-new-key")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_text("Copy it now. It is shown only once")).to_be_visible()
    secret = page.locator(".st-key-secret [data-testid=stCode] code").inner_text().strip()
    assert secret.startswith("rlsd-")
    shoot(page, "settings-key-once")
    page.get_by_role("button", name="I have copied it").click()
    expect(page.locator(".st-key-secret")).to_have_count(0)
    at_rest(page)  # while it is drawn, the list is there twice
    expect(page.get_by_text(secret[:10])).to_be_visible()
    page.reload()
    expect(page.get_by_role("radio", name="Keys", exact=True)).to_be_checked()
    expect(page.locator("[class*=st-key-row_key]")).to_have_count(2)
    return secret


def people(page: Page, shoot: Shoot) -> None:
    part(page, "People")
    expect(page.get_by_text("Sign-in by e-mail is not set up")).to_be_visible()
    unfold(page, "Add a member")
    page.get_by_label("E-mail address", exact=True).fill("ada@example.org")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("[class*=st-key-row_ada]")).to_contain_text("viewer")
    shoot(page, "settings-people")


def projects(page: Page, shoot: Shoot) -> None:
    part(page, "Projects and quotas")
    unfold(page, "New project")
    page.get_by_label("Project name", exact=True).first.fill("claims department")
    page.get_by_label("Storage, GB", exact=True).first.fill("20")
    page.get_by_label("Device hours", exact=True).first.fill("100")
    page.get_by_role("button", name="Create project").click()
    expect(page.get_by_text("0 B of 20.0 GB")).to_be_visible()
    shoot(page, "settings-projects")
    page.get_by_role("button", name="Limits").last.click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_visible()
    shoot(page, "settings-limits")
    page.keyboard.press("Escape")


def webhook(page: Page, shoot: Shoot, *, listener: str) -> None:
    part(page, "Webhooks")
    unfold(page, "New webhook")
    page.get_by_label("Address", exact=True).fill(listener)
    page.get_by_role("button", name="Create webhook").click()
    expect(page.locator(".st-key-secret [data-testid=stCode] code")).to_have_text(re.compile("^whsec_"))
    page.get_by_role("button", name="I have copied it").click()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("Test sent.")).to_be_visible()
    expect(page.get_by_test_id("stDataFrame")).to_contain_text("delivered", timeout=60_000)
    shoot(page, "settings-webhooks")


def audit(page: Page, shoot: Shoot) -> None:
    part(page, "Audit")
    expect(page.get_by_test_id("stDataFrame")).to_contain_text("created a webhook")
    shoot(page, "settings-audit")
    choose(page, "What", "Keys")
    expect(page.get_by_test_id("stDataFrame")).not_to_contain_text("created a webhook")
    expect(page).to_have_url(re.compile("what=Keys"))
    page.reload()
    expect(page.get_by_test_id("stDataFrame")).to_contain_text("created a key")
    expect(page.get_by_test_id("stDataFrame")).not_to_contain_text("created a webhook")


def narrow(page: Page, shoot: Shoot) -> None:
    """Check that the page does not scroll sideways on a phone."""
    page.set_viewport_size(PHONE)
    for name in ("Keys", "Projects and quotas"):
        part(page, name)
        page.wait_for_timeout(500)  # the layout changes
        page.wait_for_function("most => document.documentElement.scrollWidth <= most", arg=PHONE["width"])
    part(page, "Keys")
    shoot(page, "settings-narrow")


def unfold(page: Page, name: str) -> None:
    """Open a form and wait until it stops moving: a menu opened while it moves closes again."""
    page.get_by_text(name, exact=True).click()
    page.wait_for_timeout(600)
