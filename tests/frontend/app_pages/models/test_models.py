"""Models and playground: trained models, their manifests, and their answers next to the base model's."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import select

from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.settings import settings
from backend.stack.embedded import Services
from frontend.api import ApiError, Client
from frontend.api.chat import AnswerPiece
from frontend.api.types import Json
from frontend.components import ask
from frontend.components.ask import AnswerStreams
from frontend.words.models import SMALL_MODEL, title_of
from tests.frontend.api.test_api import GRADER, new_job
from tests.frontend.session.test_drafts import refreshed
from tests.frontend.test_pages import opened, words
from tests.frontend.trained import trained
from tests.processes import wait_for
from tests.service.chatting import chat_server


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


@pytest.fixture
def adapter(client: Client, rows_file: Path) -> str:
    """The name of a finished job's adapter."""
    return trained(new_job(client, rows_file))


@pytest.fixture
def new_chat_server(clean_database: Services, tmp_path: Path) -> Iterator[None]:
    """A chat server without a loaded model."""
    with chat_server(tmp_path / "chat.log"):
        yield


def test_names_are_those_that_people_gave() -> None:
    assert title_of("starter") == "starter"
    assert title_of("ft:what is this") == "ft:what is this"
    assert title_of("ft:org/base:rlsd:invoices:abcdef123") == "invoices"
    assert title_of("ft:org/base:rlsd::abcdef123456") == "base · 123456"
    assert title_of("ft:base:rlsd:invoices:abc:ckpt-step-20") == "invoices, step 20"


def test_an_administrator_is_offered_a_small_real_model(client: Client, key: str) -> None:
    app = opened("models", key=key)
    assert SMALL_MODEL in words(app)
    app.button(key="fetch_small_model_start").click().run()
    assert not app.exception
    [check] = client.checks(kind="fetch_model")
    assert (check["status"], check["asked"]) == ("queued", {"model": SMALL_MODEL})
    assert "fetch_small_model_start" not in {button.key for button in app.button}
    app.button(key="fetch_small_model_cancel").click().run()
    assert "Cancelled" in words(app)
    assert "fetch_small_model_start" in {button.key for button in app.button}


def test_a_model_that_the_server_has_is_not_offered(
    client: Client, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / SMALL_MODEL).mkdir()
    (tmp_path / SMALL_MODEL / "config.json").write_text("{}")
    monkeypatch.setenv("RLSD_MODELS_FOLDER", str(tmp_path))
    settings.cache_clear()
    app = opened("models", key=key)
    monkeypatch.undo()
    settings.cache_clear()
    assert app.button(key=f"open_{SMALL_MODEL}").label == f"**{SMALL_MODEL}**"
    assert "fetch_small_model_start" not in {button.key for button in app.button}


def test_base_models_are_listed_alone_until_something_is_trained(client: Client, key: str) -> None:
    app = opened("models", key=key)
    assert not app.exception
    assert "Nothing has been trained yet" in words(app)
    assert app.button(key="open_starter").label == "**starter**"
    app = opened("models", key=key, model="starter")
    assert not app.exception
    assert "A base model on this server" in words(app)
    assert 'model="starter"' in app.code[0].value


def test_trained_models_are_listed_with_their_base(client: Client, key: str, adapter: str) -> None:
    app = opened("models", key=key)
    assert not app.exception
    assert app.button(key=f"open_{adapter}").label == "**first-1**"
    assert "from starter with RLSD, seed 7" in words(app)
    assert "held-out score 0.14 → 0.74" in words(app)


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        ("Card", "An adapter is a small set of weights"),
        ("Use it", "with the official OpenAI client"),
        ("Downloads", "Only the LoRA weights"),
        ("Manifest", "Everything the adapter was trained from"),
    ],
)
def test_each_tab_of_a_model_is_shown(client: Client, key: str, adapter: str, view: str, sentence: str) -> None:
    app = opened("models", key=key, model=adapter, view=view)
    assert not app.exception
    assert not app.error
    assert app.title[0].value == "first-1"
    assert sentence in words(app)
    if view == "Card":
        assert "Trained tokens" in words(app)
    if view == "Use it":
        assert f'model="{adapter}"' in app.code[0].value
        assert "PeftModel.from_pretrained" in app.code[1].value
        assert "--max-lora-rank 4" in app.code[2].value


def test_deleting_is_confirmed_and_leads_back_to_the_list(client: Client, key: str, adapter: str) -> None:
    app = opened("models", key=key, model=adapter)
    app.button(key="delete_model").click().run()
    assert not app.exception
    assert app.title[0].value == "Models"
    with pytest.raises(ApiError, match="first-1"):
        client.model(adapter)


def test_without_a_chat_worker_the_playground_explains_how_to_start_one(client: Client, key: str) -> None:
    app = opened("playground", key=key)
    assert not app.exception
    assert "rlsd worker --queue chat" in app.warning[0].value
    app.text_area(key="ask_text").input("Who approves a valve?").run()
    assert app.button(key="playground_go").disabled


def test_the_instruction_of_a_trained_model_is_on_its_card_and_sent_with_questions_as_edited(
    client: Client, key: str, adapter: str
) -> None:
    told = "Name the role alone."
    job_id = str(client.model(adapter)["x_job"])
    assert not [area for area in opened("playground", key=key).text_area if "Instruction" in area.label]
    with transaction() as session:
        job = session.get_one(Job, job_id)
        job.spec = {**job.spec, "instruction": told}
        job.manifest = {**(job.manifest or {}), "settings": job.spec}
    assert told in [text.value for text in opened("models", key=key, model=adapter).text]
    app = opened("playground", key=key)
    assert app.text_area(key=f"ask_instruction_{job_id}").value == told
    app.text_area(key=f"ask_instruction_{job_id}").input("Be brief.").run()
    assert not app.exception
    assert app.text_area(key=f"ask_instruction_{job_id}").value == "Be brief."


def test_another_model_on_one_side_does_not_change_the_other(client: Client, key: str, adapter: str) -> None:
    app = opened("playground", key=key)
    left, right = app.selectbox[:2]
    assert (left.value, right.value) == ("starter", adapter)
    left.set_value(adapter).run()
    assert [box.value for box in app.selectbox[:2]] == [adapter, adapter]
    app.selectbox[0].set_value("starter").run()
    app.selectbox[1].set_value("nobody").run()
    assert [box.value for box in app.selectbox[:2]] == ["starter", "nobody"]
    assert not app.exception


def test_the_example_code_contains_the_public_address(
    client: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLSD_PUBLIC_API_URL", "https://rlsd.example/")
    app = opened("models", key=key, model="starter")
    assert 'base_url="https://rlsd.example/v1"' in app.code[0].value


@pytest.mark.slow
@pytest.mark.usefixtures("new_chat_server", "check_worker")
def test_both_models_answer_the_row_and_the_verifier_scores_them(client: Client, key: str, adapter: str) -> None:
    with transaction() as session:
        [job] = session.scalars(select(Job))
        job.spec = job.spec | {"success_above": -1.0}
    app = opened("playground", key=key, left="starter", right=adapter)
    assert not app.exception
    assert not app.warning
    assert app.selectbox(key="ask_verifier").value == "job"
    app.segmented_control(key="ask_from").set_value("Dataset row").run()
    assert "Who approves a gasket?" in [text.value for text in app.text]
    app.number_input(key="ask_tokens").set_value(12).run()
    app.button(key="playground_go").click().run(timeout=120)
    assert not app.exception
    assert not app.error
    text = words(app)
    assert text.count("tokens, ") == 2
    assert text.count(":green-badge[:material/check: right]") == 2, "by the job's success_above"
    assert {caption.help for caption in app.caption if caption.value.startswith("score ")} == {
        "A score above -1 counts as right."
    }
    exchange = app.session_state["playground"]
    assert [answer.model for answer in exchange.streams.answers] == ["starter", adapter]
    assert all(answer.text for answer in exchange.streams.answers)
    assert text.count("; waited ") == 2
    assert all(answer.seconds < answer.waited_s for answer in exchange.streams.answers), (
        "loading does not count as generation"
    )


@pytest.mark.usefixtures("chat_worker", "check_worker")
def test_a_missing_model_is_an_error_next_to_one_that_answers_and_is_scored(client: Client, key: str) -> None:
    saved = client.create_verifier(name="last word", grader=GRADER)
    app = opened("playground", key=key, left="ft:starter:rlsd::none", right="starter")
    app.text_input(key="ask_answer").input("clerk")
    app.text_area(key="ask_text").input("Who approves a valve?").run()
    app.selectbox(key="ask_verifier").select(saved["id"]).run()
    app.number_input(key="ask_tokens").set_value(5).run()
    app.button(key="playground_go").click().run(timeout=120)
    assert not app.exception
    [error] = app.error
    assert "does not exist" in error.value
    exchange = app.session_state["playground"]
    assert exchange.streams.answers[1].text
    missing, scored = exchange.records
    assert missing is None
    assert scored["status"] == "ok"
    assert words(app).count("\nscore ") == 1


@pytest.mark.usefixtures("chat_worker")
def test_a_saved_verifier_scores_answers_to_own_questions(client: Client, key: str) -> None:
    client.create_verifier(name="last word", grader=GRADER)
    app = opened("playground", key=key, left="starter")
    app.text_input(key="ask_answer").input("clerk")
    app.text_area(key="ask_text").input("Who approves a valve?").run()
    assert app.selectbox(key="ask_verifier").options == ["none", "last word"]
    assert app.button(key="playground_go").label == "Ask"


@pytest.mark.usefixtures("chat_worker")
def test_answers_are_restored_after_a_refresh_under_their_models(client: Client, key: str, adapter: str) -> None:
    app = refreshed("playground", key=key, session="asker", left="starter", right="nobody")
    app.text_area(key="ask_text").input("Who approves a valve?").run()
    app.number_input(key="ask_tokens").set_value(5).run()
    app.button(key="playground_go").click().run(timeout=120)
    [answer] = app.session_state["playground"].streams.answers

    again = refreshed("playground", key=key, session="asker", left="starter", right="nobody")
    assert again.text_area(key="ask_text").value == "Who approves a valve?"
    assert answer.text in [text.value for text in again.text]
    again.selectbox[1].set_value(adapter).run()
    assert answer.text not in [text.value for text in again.text], "another pair has no answers"
    again.selectbox[1].set_value("nobody").run()
    assert answer.text in [text.value for text in again.text]
    assert not refreshed("playground", key=key, session="another", left="starter").text_area(key="ask_text").value


def test_a_request_is_cancelled_once_nobody_views_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(ask.time, "monotonic", lambda: now)
    received = []

    class Endless:
        """A model that never stops, while the clock advances one second per piece."""

        def answer(self, body: Json) -> Iterator[AnswerPiece]:
            nonlocal now
            while True:
                received.append(body["model"])
                now += 1.0
                yield AnswerPiece("and ", finish_reason=None, tokens=None)

    streams = AnswerStreams.start(cast("Client", Endless()), ["starter"], question={"messages": []})
    [answer] = streams.answers
    wait_for(lambda: answer.done, timeout_s=10, what="the end of the stream")
    assert streams.done
    assert len(received) == ask.ABANDONED_S + 1
