"""A click counts even if something else happens at the same moment."""

import io

import pytest
from playwright.sync_api import Page, expect

from frontend.api import Client, new_connections
from frontend.components.job_feed import TICK_S
from tests.browser.profiles import Browser
from tests.browser.steps import heading, part, sign_in, signed_in_after_reload
from tests.processes import Addresses
from tests.service.conftest import EXACT, job_body

ROWS = b"".join(b'{"question": "%d + 1?", "answer": "%d"}\n' % (n, n + 1) for n in range(12))
HOLD_SESSION = """() => {
  const real = window.fetch;
  window.fetch = async (...args) => {
    const answer = await real(...args);
    if (String(args[0]).endsWith("/session")) await new Promise((go) => window.release = go);
    return answer;
  };
}"""
KEEP_SOCKETS = """
window.sockets = [];
window.WebSocket = class extends window.WebSocket {
  constructor(...args) { super(...args); window.sockets.push(this); }
};
"""
PRESS_THEN_BREAK = """([name, after]) => {
  for (const button of document.querySelectorAll('[role="radio"]')) if (button.textContent === name) button.click();
  setTimeout(() => window.sockets.at(-1).close(), after);
}"""
BREAKS_AFTER_MS = (0, 10, 20, 30, 45, 60, 80, 120)


@pytest.fixture
def page(browser: Browser) -> Page:
    return browser.open_page()


def test_a_menu_entry_pressed_right_after_signing_in_opens_its_page(page: Page, addresses: Addresses, key: str) -> None:
    page.goto(addresses.ui)
    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    page.evaluate(HOLD_SESSION)
    sign_in(page, key)
    page.wait_for_function("() => window.release")
    page.evaluate(
        """() => { [...document.querySelectorAll('[data-testid="stSidebarNavLink"]')]
        .find((link) => link.textContent.includes("New job")).click(); window.release(); }"""
    )
    heading(page, "New job")
    page.wait_for_timeout(1000)
    heading(page, "New job")
    signed_in_after_reload(page)


@pytest.mark.timeout(300)
def test_the_chosen_tab_stays_when_the_connection_breaks(page: Page, addresses: Addresses, key: str) -> None:
    with new_connections(addresses.api) as connections:
        client = Client(connections, key=key)
        dataset = client.upload(io.BytesIO(ROWS), filename="rows.jsonl", mapping=None)["id"]
        client.create_verifier(name="exact", grader=EXACT)
        job = client.create_job(job_body(dataset))["id"]
    page.goto(addresses.ui)
    sign_in(page, key)
    signed_in_after_reload(page)
    job_page = f"{addresses.ui}/job?job={job}"
    broken = {after: page.context.new_page() for after in BREAKS_AFTER_MS}
    for after, tab in broken.items():
        tab.add_init_script(KEEP_SOCKETS)
        tab.goto(job_page)
        expect(tab.get_by_role("radio", name="Learning", exact=True)).to_be_checked()
        sockets = tab.evaluate("() => window.sockets.length")
        tab.evaluate(PRESS_THEN_BREAK, ["Settings", after])
        tab.wait_for_function("(before) => window.sockets.length > before", arg=sockets)
    page.wait_for_timeout(2.5 * TICK_S * 1000)
    for after, tab in broken.items():
        assert tab.get_by_role("radio", name="Settings", exact=True).is_checked(), f"lost after {after} ms"
        expect(tab.get_by_text("The settings this job was created with.")).to_be_visible()
        assert "view=Settings" in tab.url
    part(tab, "Events")
    part(tab, "Learning")
    tab.evaluate("() => document.querySelector('[data-testid=stApp]').remove()")  # as Streamlit does at times
    expect(tab.get_by_role("radio", name="Learning", exact=True)).to_be_checked()
