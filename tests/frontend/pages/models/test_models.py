"""Models and playground: what was trained, what it was made of, and what it answers beside its base."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import select

from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.stack.embedded import Services
from frontend.api import ApiError, Client
from frontend.api.types import Json
from frontend.components import ask
from frontend.components.ask import AnswerStreams
from frontend.words.models import title_of
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
    """The name of one that a finished job has left."""
    return trained(new_job(client, rows_file))


@pytest.fixture
def new_chat_server(clean_database: Services, tmp_path: Path) -> Iterator[None]:
    """One that holds no model yet."""
    with chat_server(tmp_path / "chat.log"):
        yield


def test_names_are_what_people_gave() -> None:
    assert title_of("starter") == "starter"
    assert title_of("ft:what is this") == "ft:what is this"
    assert title_of("ft:org/base:rlsd:invoices:abcdef123") == "invoices"
    assert title_of("ft:org/base:rlsd::abcdef123456") == "base · 123456"
    assert title_of("ft:base:rlsd:invoices:abc:ckpt-step-20") == "invoices, step 20"


def test_bases_stand_alone_until_something_is_trained(client: Client, key: str) -> None:
    app = opened("models", key=key)
    assert not app.exception
    assert "Nothing has been trained yet" in words(app)
    assert app.button(key="open_starter").label == "**starter**"
    app = opened("models", key=key, model="starter")
    assert not app.exception
    assert "A base model of this server" in words(app)
    assert 'model="starter"' in app.code[0].value


def test_what_was_trained_is_listed_with_its_base(client: Client, key: str, adapter: str) -> None:
    app = opened("models", key=key)
    assert not app.exception
    assert app.button(key=f"open_{adapter}").label == "**first-1**"
    assert "of starter with RLSD, seed 7" in words(app)
    assert "held-out score 0.14 → 0.74" in words(app)


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        ("Card", "An adapter: a small set of weights"),
        ("Use it", "with the official OpenAI client"),
        ("Downloads", "The LoRA weights alone"),
        ("Manifest", "Everything the adapter was made of"),
    ],
)
def test_each_part_of_a_model_is_there(client: Client, key: str, adapter: str, view: str, sentence: str) -> None:
    app = opened("models", key=key, model=adapter, view=view)
    assert not app.exception
    assert not app.error
    assert app.title[0].value == "first-1"
    assert sentence in words(app)
    if view == "Card":
        assert "Tokens that updates were made from" in words(app)
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


def test_without_a_chat_worker_the_playground_says_what_to_start(client: Client, key: str) -> None:
    app = opened("playground", key=key)
    assert not app.exception
    assert "rlsd worker --queue chat" in app.warning[0].value
    app.text_area(key="ask_text").input("Who approves a valve?").run()
    assert app.button(key="playground_go").disabled


def test_another_model_on_one_side_leaves_the_other_side_as_it_is(client: Client, key: str, adapter: str) -> None:
    app = opened("playground", key=key)
    left, right = app.selectbox[:2]
    assert (left.value, right.value) == ("starter", adapter)
    left.set_value(adapter).run()
    assert [box.value for box in app.selectbox[:2]] == [adapter, adapter]
    app.selectbox[0].set_value("starter").run()
    app.selectbox[1].set_value("nobody").run()
    assert [box.value for box in app.selectbox[:2]] == ["starter", "nobody"]
    assert not app.exception


def test_the_code_to_take_away_names_the_address_that_programs_reach(
    client: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLSD_PUBLIC_API_URL", "https://rlsd.example/")
    app = opened("models", key=key, model="starter")
    assert 'base_url="https://rlsd.example/v1"' in app.code[0].value


@pytest.mark.usefixtures("new_chat_server", "check_worker")
def test_both_answer_the_row_and_the_verifier_says_what_it_thinks(client: Client, key: str, adapter: str) -> None:
    with transaction() as session:
        [job] = session.scalars(select(Job))
        job.spec = job.spec | {"success_above": -1.0}
    app = opened("playground", key=key, left="starter", right=adapter)
    assert not app.exception
    assert not app.warning
    assert app.selectbox(key="ask_verifier").value == "job"
    app.segmented_control(key="ask_from").set_value("A row of a dataset").run()
    assert "Who approves a gasket?" in [text.value for text in app.text]
    app.number_input(key="ask_tokens").set_value(12).run()
    app.button(key="playground_go").click().run(timeout=120)
    assert not app.exception
    assert not app.error
    said = words(app)
    assert said.count("tokens, ") == 2
    assert said.count(":green-badge[:material/check: right]") == 2, "in the eyes of the job that is at hand"
    assert {caption.help for caption in app.caption if caption.value.startswith("score ")} == {
        "Right is a score above -1."
    }
    exchange = app.session_state["playground"]
    assert [answer.model for answer in exchange.asking.answers] == ["starter", adapter]
    assert all(answer.text for answer in exchange.asking.answers)
    assert said.count("; its first word came after ") == 2
    assert all(answer.seconds < answer.waited_s for answer in exchange.asking.answers), "loading is no part of writing"


@pytest.mark.usefixtures("chat_worker", "check_worker")
def test_a_model_that_is_not_there_says_so_beside_one_that_answers_and_is_scored(client: Client, key: str) -> None:
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
    assert exchange.asking.answers[1].text
    missing, scored = exchange.records
    assert missing is None
    assert scored["status"] == "ok"
    assert words(app).count("score ") == 1


@pytest.mark.usefixtures("chat_worker")
def test_a_saved_verifier_scores_own_words_against_the_given_answer(client: Client, key: str) -> None:
    client.create_verifier(name="last word", grader=GRADER)
    app = opened("playground", key=key, left="starter")
    app.text_input(key="ask_answer").input("clerk")
    app.text_area(key="ask_text").input("Who approves a valve?").run()
    assert app.selectbox(key="ask_verifier").options == ["none", "last word"]
    assert app.button(key="playground_go").label == "Ask"


@pytest.mark.usefixtures("chat_worker")
def test_answers_are_there_again_after_a_refresh_under_the_models_that_gave_them(
    client: Client, key: str, adapter: str
) -> None:
    app = refreshed("playground", key=key, session="asker", left="starter", right="nobody")
    app.text_area(key="ask_text").input("Who approves a valve?").run()
    app.number_input(key="ask_tokens").set_value(5).run()
    app.button(key="playground_go").click().run(timeout=120)
    [answer] = app.session_state["playground"].asking.answers

    again = refreshed("playground", key=key, session="asker", left="starter", right="nobody")
    assert again.text_area(key="ask_text").value == "Who approves a valve?"
    assert answer.text in [text.value for text in again.text]
    again.selectbox[1].set_value(adapter).run()
    assert answer.text not in [text.value for text in again.text], "another pair has not been asked"
    again.selectbox[1].set_value("nobody").run()
    assert answer.text in [text.value for text in again.text]
    assert not refreshed("playground", key=key, session="another", left="starter").text_area(key="ask_text").value


def test_a_question_is_withdrawn_once_nobody_has_looked_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(ask.time, "monotonic", lambda: now)
    listened = []

    class Endless:
        """A model that writes on and on, while the clock goes by a second a word."""

        def answer(self, body: Json) -> Iterator[Json]:
            nonlocal now
            while True:
                listened.append(body["model"])
                now += 1.0
                yield {"text": "and ", "finish_reason": None, "tokens": None}

    asked = AnswerStreams.start(cast("Client", Endless()), ["starter"], question={"messages": []})
    [answer] = asked.answers
    wait_for(lambda: answer.over, timeout_s=10, what="the listener's end")
    assert asked.over
    assert len(listened) == ask.ABANDONED_S + 1
