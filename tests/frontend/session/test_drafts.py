"""Unsaved input is restored after a refresh, for the person who wrote it, until it is saved."""

import io
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from frontend.api import Client
from frontend.session import drafts as unsaved
from frontend.session import state
from frontend.session.browser_sessions import IDLE_S, SESSION
from frontend.session.drafts import Drafts
from tests.frontend.api.test_api import GRADER
from tests.frontend.code_fields import code_field, typed
from tests.processes import ROOT

SCRIPT = ROOT / "frontend" / "navigation.py"


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "client" in request.fixturenames:
        monkeypatch.setenv("RLSD_API_URL", request.getfixturevalue("api_url"))


@pytest.fixture(autouse=True)
def no_drafts() -> None:
    for session in ("one", "another"):
        unsaved.drafts.forget(session)


def refreshed(page: str, *, key: str, session: str = "one", **address: str) -> AppTest:
    """Load a page as a browser with this session does."""
    app = AppTest.from_file(str(SCRIPT), default_timeout=30)
    app.session_state[state.KEY] = key
    app.session_state[SESSION] = session
    app.run()
    for name, value in address.items():
        app.query_params[name] = value
    app.switch_page(f"app_pages/{page}/page.py")
    app.run()
    assert not app.exception
    return app


def test_the_form_of_a_new_job_is_restored_until_the_job_is_created(client: Client, key: str, rows_file: Path) -> None:
    with rows_file.open("rb") as content:
        client.upload(content, filename="rows.jsonl", mapping=None)
    client.create_verifier(name="last word", grader=GRADER)
    app = refreshed("new_job", key=key)
    app.text_input(key="job_name").set_value("first-try")
    app.segmented_control(key="preset").set_value("paper")
    app.number_input(key="main_max_steps").set_value(33).run()

    again = refreshed("new_job", key=key)
    assert again.text_input(key="job_name").value == "first-try"
    assert again.segmented_control(key="preset").value == "paper"
    assert again.number_input(key="main_max_steps").value == 33
    assert [toast.value for toast in again.toast] == ["Your unsaved input was restored."]
    assert refreshed("new_job", key=key, session="another").text_input(key="job_name").value == ""
    next(button for button in again.button if button.label == "Start training").click().run()
    fresh = refreshed("new_job", key=key)
    assert fresh.text_input(key="job_name").value == ""
    assert not fresh.toast


def test_a_verifier_draft_is_restored_until_it_is_saved(client: Client, key: str) -> None:
    source = "def grade(item, output_text):\n    return 0.25\n"
    saved = client.create_verifier(name="half", grader={"type": "python", "source": source.replace("0.25", "0.5")})
    app = refreshed("verifiers", key=key, verifier=saved["id"])
    app.text_input(key=f"{saved['id']}_name").set_value("a quarter").run()
    typed(app, "Python source", source)

    again = refreshed("verifiers", key=key, verifier=saved["id"])
    assert again.text_input(key=f"{saved['id']}_name").value == "a quarter"
    assert code_field(again, "Python source")["text"] == source
    again.button(key="save_verifier").click().run()
    assert client.verifier(saved["id"])["grader"]["source"] == source
    assert not refreshed("verifiers", key=key, verifier=saved["id"]).toast


def test_unsaved_row_changes_are_restored_until_they_are_discarded(client: Client, key: str) -> None:
    rows = b'{"question": "1 + 1?", "answer": "2"}\n{"question": "2 + 2?", "answer": "4"}\n'
    file = client.upload(io.BytesIO(rows), filename="rows.jsonl", mapping=None)
    refreshed("datasets", key=key, dataset=file["id"]).button(key="row_delete").click().run()
    again = refreshed("datasets", key=key, dataset=file["id"])
    assert "**1 unsaved change**" in [shown.value for shown in again.markdown]
    again.button(key="version_forget").click().run()
    assert not any(button.key == "version_save" for button in refreshed("datasets", key=key, dataset=file["id"]).button)


def test_drafts_end_with_the_session_with_time_and_above_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    drafts = Drafts()
    monkeypatch.setattr(unsaved, "MOST_DRAFTS", 2)
    for name in ("a", "b", "c"):
        drafts.keep("one", name, {"text": name})
    assert [drafts.take("one", name) for name in ("a", "b")] == [{}, {"text": "b"}]
    drafts.forget("one")
    assert drafts.take("one", "c") == {}
    drafts.keep("one", "long", {"text": "x" * unsaved.MOST_CHARACTERS})
    assert drafts.take("one", "long") == {}
    drafts.keep("one", "old", {"text": "y"})
    now = unsaved.time.monotonic()
    monkeypatch.setattr(unsaved.time, "monotonic", lambda: now + IDLE_S + 1)
    assert drafts.take("one", "old") == {}
