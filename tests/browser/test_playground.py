"""An answer and its question, when the browser is refreshed while the answer is being generated."""

import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest
from playwright.sync_api import expect

from tests.browser.profiles import Browser
from tests.browser.steps import ENDED, at_rest, go_to, sign_in, stay_signed_in, write
from tests.service.chatting import chat_server

WAITING = "Waiting for the answer."
QUESTION = "Who approves a valve?"


@pytest.fixture
def model_server(services: object, tmp_path: Path) -> Iterator[Popen[bytes]]:
    with chat_server(tmp_path / "chat.log") as process:
        yield process


def test_an_answer_continues_while_its_page_is_refreshed(
    browser: Browser, ui: str, key: str, model_server: Popen[bytes]
) -> None:
    page = browser.open_page()
    page.goto(ui)
    sign_in(page, key)
    stay_signed_in(page)
    go_to(page, "Playground")
    at_rest(page)
    write(page, "Your question", QUESTION)
    at_rest(page)

    model_server.send_signal(signal.SIGSTOP)
    try:
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.get_by_text(WAITING)).to_be_visible()
        page.reload()
        expect(page.get_by_text(WAITING)).to_be_visible()
        write(page, "Your question", f"{QUESTION} And who a gasket?")
    finally:
        model_server.send_signal(signal.SIGCONT)
    expect(page.get_by_role("textbox", name="Your question")).to_have_value(f"{QUESTION} And who a gasket?")
    expect(page.get_by_text(ENDED)).to_be_visible(timeout=120_000)
    text = page.locator(".st-key-playground_answer_0").inner_text()
    page.reload()
    expect(page.get_by_text(ENDED)).to_be_visible()
    assert page.locator(".st-key-playground_answer_0").inner_text() == text

    model_server.send_signal(signal.SIGSTOP)
    try:
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.get_by_text(WAITING)).to_be_visible()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Stopped before the answer started.")).to_be_visible()
        expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    finally:
        model_server.send_signal(signal.SIGCONT)
