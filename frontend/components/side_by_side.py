"""One question to several models: their streamed answers, with a verifier's score under each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from frontend.api import ApiError, Client
from frontend.api.types import JobObject, Json, ScoreRecordObject, VerifierObject
from frontend.components import question_form, rights, score
from frontend.components.ask import AnswerStreams, ModelAnswer
from frontend.components.choices import distinct_labels
from frontend.session import drafts
from frontend.widgets import problems
from frontend.words import units
from frontend.words.markdown import plain
from frontend.words.models import instruction_of
from frontend.words.rollouts import success_above

DRAW_S = 0.1
IN_A_ROW = 4
NO_VERIFIER, OF_JOB = "", "job"
USUAL_TOKENS = 256
NO_SERVER = (
    "Models need a chat worker, and none is running. Start one with `rlsd worker --queue chat` on a machine that can "
    "reach the same database, preferably with a GPU. `rlsd up` starts one automatically."
)
ENDS = {"stop": "complete", "length": "cut off at the maximum length"}


@dataclass(slots=True)
class Exchange:
    """A question and its answers. `item` and `answer` are passed to a verifier. `records`: one per answer, None for a
    failed one, scored by the verifier `scored_by`. Kept over a refresh unless it is longer than a draft may be
    (`frontend/session/drafts.py`).
    """

    item: Json
    answer: str | list[str] | None
    titles: list[str]
    streams: AnswerStreams
    records: list[ScoreRecordObject | None] = field(default_factory=list)
    scored_by: str | None = None

    @property
    def models(self) -> list[str]:
        return [answer.model for answer in self.streams.answers]


def panel(client: Client, models: Mapping[str, str], *, job: JobObject | None, key: str) -> None:
    """Show the question form and the answers. `models`: names by title. `job`: its dataset and verifier come first."""
    drafts.restore(key)
    can_ask = _has_server(client)
    question = question_form.show(client, dataset=None if job is None else job["training_file"])
    instruction = _instruction(job)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        grader = _verifier(client, job)
        temperature, most = _sampling(job)
    with st.container(horizontal=True):
        if st.button(
            "Ask" if len(models) == 1 else "Ask both" if len(models) == 2 else f"Ask all {len(models)}",
            type="primary",
            icon=":material/send:",
            disabled=question is None or not can_ask or not models,
            key=f"{key}_go",
        ):
            assert question is not None
            if key in st.session_state:
                st.session_state[key].streams.stop()
            prompt = question.prompt(instruction=instruction)
            body: Json = {**prompt, "temperature": temperature, "max_tokens": most}
            if job is not None:  # the base model is asked, and its answers are read, like the job's model
                settings = job["method"]["reinforcement"]["x_rlsd"]
                body |= {name: settings.get(name) for name in ("skip_special_tokens", "fold_system")}
            streams = AnswerStreams.start(client, list(models.values()), question=body)
            st.session_state[key] = Exchange(question.item, question.answer, list(models), streams)
        exchange: Exchange | None = st.session_state.get(key)
        if exchange is not None and exchange.models != list(models.values()):
            exchange = None  # of other models
        if exchange is not None and not exchange.streams.done:
            st.button("Stop", icon=":material/stop:", key=f"{key}_stop", on_click=exchange.streams.stop)
    _keep(key)
    if exchange is not None:
        _show(client, exchange, grader=grader, above=success_above(job), key=key)
        _keep(key)


def _keep(key: str) -> None:
    """Keep the question's fields and the exchange as a draft."""
    values = drafts.fields(key)
    drafts.keep(key, {name: value for name, value in values.items() if name == key or name.startswith("ask_")})


def _has_server(client: Client) -> bool:
    if any("chat" in worker["queues"] for worker in client.workers()):
        return True
    st.warning(NO_SERVER, title="No model can answer now", icon=":material/cloud_off:")
    st.button("Check again", icon=":material/refresh:", key="look_for_servers")
    return False


def _instruction(job: JobObject | None) -> str:
    """Show the instruction that the job's model was trained with, if there is one; return it as edited."""
    usual = "" if job is None else instruction_of(job)
    if job is None or not usual:
        return ""
    key = f"ask_instruction_{job['id']}"
    st.session_state.setdefault(key, usual)
    return st.text_area(
        "Instruction to the models",
        height=70,
        key=key,
        help="The trained model got it with every question. All models here get it too, as the system message or at "
        "the beginning of the question's own.",
    ).strip()


def _verifier(client: Client, job: JobObject | None) -> Json | None:
    """Return the chosen verifier; viewers cannot run one."""
    refused = rights.refusal(client)
    saved: list[VerifierObject] = client.all_verifiers()
    names = {NO_VERIFIER: "none"} | ({} if job is None else {OF_JOB: "the job's verifier"})
    names |= {verifier["id"]: verifier["name"] for verifier in saved}
    chosen = st.selectbox(
        "Score with",
        list(names),
        index=0 if job is None or refused else 1,
        format_func=distinct_labels(names, more=lambda verifier_id: verifier_id[-6:]),
        key="ask_verifier",
        disabled=refused is not None,
        help=refused or "A verifier that scores each answer.",
    )
    if chosen == OF_JOB and job is not None:
        grader: Json = job["method"]["reinforcement"]["grader"]
        return grader
    return next((verifier["grader"] for verifier in saved if verifier["id"] == chosen), None)


def _sampling(job: JobObject | None) -> tuple[float, int]:
    usual = USUAL_TOKENS if job is None else job["method"]["reinforcement"]["x_rlsd"]["max_completion_tokens"]
    temperature = st.number_input(
        "Temperature",
        0.0,
        2.0,
        0.0,
        step=0.1,
        key="ask_temperature",
        width=140,
        help="0: the most likely answer, the same each time. 1: sampled as in training, different each time.",
    )
    most = st.number_input(
        "Maximum length (tokens)",
        1,
        100_000,
        int(usual),
        key="ask_tokens",
        width=190,
        help="A token is about three quarters of an English word. Longer answers are cut off here.",
    )
    return float(temperature), int(most)


def _show(client: Client, exchange: Exchange, *, grader: Json | None, above: float, key: str) -> None:
    streams = exchange.streams
    places = _places(exchange, key=key)
    if not streams.done:
        _follow(streams, places)
        st.rerun()
    _score(client, exchange, grader=grader)
    for number, (place, answer) in enumerate(zip(places, streams.answers, strict=True)):
        with place.container():
            record = exchange.records[number] if exchange.records else None
            _ended(answer, record, above=above, without_answer=exchange.answer is None)


def _follow(streams: AnswerStreams, places: Sequence[DeltaGenerator]) -> None:
    """Draw the answers as they grow until all are complete. A click or a refresh ends this run; the next continues."""
    while not streams.done:
        for place, answer in zip(places, streams.answers, strict=True):
            _draw_answer(place, answer)
        streams.wait(DRAW_S)


def _places(exchange: Exchange, *, key: str) -> list[DeltaGenerator]:
    places = []
    for some in _rows(exchange.titles):
        for column, (number, title) in zip(st.columns(len(some)), some, strict=True):
            with column.container(border=True, height="stretch", key=f"{key}_answer_{number}"):
                st.markdown(f"**{plain(title)}**")
                places.append(st.empty())
    return places


def _rows(titles: Sequence[str]) -> list[list[tuple[int, str]]]:
    numbered = list(enumerate(titles))
    return [numbered[first : first + IN_A_ROW] for first in range(0, len(numbered), IN_A_ROW)]


def _draw_answer(place: DeltaGenerator, answer: ModelAnswer) -> None:
    if answer.text or answer.done:
        place.text(answer.text + ("" if answer.done else " ▌"))
    else:
        place.caption(":material/hourglass_top: Waiting for the answer. A model that is not in memory is loaded first.")


def _ended(answer: ModelAnswer, record: ScoreRecordObject | None, *, above: float, without_answer: bool) -> None:
    if answer.text:
        st.text(answer.text)
    if answer.error is not None:
        problems.show(answer.error, title="No answer" if not answer.text else "The answer was interrupted")
        return
    if not answer.text:
        st.caption("The answer is empty." if answer.done else "Stopped before the answer started.")
    how = ENDS.get(answer.finish_reason or "", "stopped")
    counted = "" if answer.tokens is None else units.count(answer.tokens, "token") + ", "
    took = "" if answer.seconds is None or answer.waited_s is None else f", generated in {answer.seconds:.1f} s"
    waited = "" if answer.waited_s is None else f"; waited {answer.waited_s:.1f} s for the first token"
    st.caption(f"{counted}{how}{took}{waited}")
    if record is not None:
        _scored(record, above=above, without_answer=without_answer)


def _scored(record: ScoreRecordObject, *, above: float, without_answer: bool) -> None:
    if record["status"] == "error" and without_answer:
        st.caption("Not scored: this verifier compares with a right answer. Enter one with the question.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        score.badge(record, above=above)
        score.score(record, above=above)
    if record["status"] in score.NO_SCORE:
        st.caption(score.NO_SCORE[record["status"]])
    if record["reason"]:
        st.caption(plain(record["reason"]))


def _score(client: Client, exchange: Exchange, *, grader: Json | None) -> None:
    """Score the answers once with the chosen verifier, except failed or interrupted ones."""
    by = None if grader is None else json.dumps(grader, sort_keys=True)
    if by == exchange.scored_by:
        return
    exchange.records, exchange.scored_by = [], by
    answers = exchange.streams.answers
    texts = [answer.text for answer in answers if answer.error is None]
    if grader is None or not texts:
        return
    try:
        with st.spinner("Scoring the answers…"):
            records = iter(client.score_texts(grader, item=exchange.item, answer=exchange.answer, texts=texts))
        exchange.records = [next(records) if answer.error is None else None for answer in answers]
    except ApiError as error:
        exchange.scored_by = None
        problems.show(error, title="The answers could not be scored")
