"""The same question to several models, their answers as they are written, and the verifier's score under each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from frontend.api import ApiError, Client
from frontend.api.types import Job, Json, ScoreRecord, Verifier
from frontend.components import question_form, rights, score
from frontend.components.ask import AnswerStreams, ModelAnswer
from frontend.components.choices import told_apart
from frontend.session import drafts
from frontend.widgets import problems
from frontend.words import units
from frontend.words.rollouts import success_above

DRAW_S = 0.1
IN_A_ROW = 4
NO_VERIFIER, OF_JOB = "", "job"
USUAL_TOKENS = 256
NO_SERVER = (
    "Answers are written by a chat worker, and none is running. Start one with `rlsd worker --queue chat` on a machine "
    "that reaches the same database, best with a GPU; `rlsd up` starts one by itself."
)
ENDS = {"stop": "ended by itself", "length": "cut off at the longest answer"}


@dataclass(slots=True)
class Exchange:
    """What came of a question, of which `item` and `answer` are what a verifier is told; `scored_by` is the verifier of
    `records`, one an answer: None for an answer that failed. It outlives a refresh, unless it is longer than a draft
    may be (`unsaved.py`).
    """

    item: Json
    answer: str | None
    titles: list[str]
    asking: AnswerStreams
    records: list[ScoreRecord | None] = field(default_factory=list)
    scored_by: str | None = None

    @property
    def models(self) -> list[str]:
        return [answer.model for answer in self.asking.answers]


def panel(client: Client, models: Mapping[str, str], *, job: Job | None, key: str) -> None:
    """`models`: what to ask, name by title. `job`: whose dataset and verifier are offered first."""
    drafts.bring_back(key)
    can_ask = _servers(client)
    question = question_form.show(client, dataset=None if job is None else job["training_file"])
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
                st.session_state[key].asking.stop()
            body: Json = {"messages": question.messages, "temperature": temperature, "max_tokens": most}
            asking = AnswerStreams.start(client, list(models.values()), question=body)
            st.session_state[key] = Exchange(question.item, question.answer, list(models), asking)
        exchange: Exchange | None = st.session_state.get(key)
        if exchange is not None and exchange.models != list(models.values()):
            exchange = None  # of others
        if exchange is not None and not exchange.asking.over:
            st.button("Stop", icon=":material/stop:", key=f"{key}_stop", on_click=exchange.asking.stop)
    _keep(key)
    if exchange is not None:
        _show(client, exchange, grader=grader, above=success_above(job), key=key)
        _keep(key)


def _keep(key: str) -> None:
    """The question as it stands in its fields, and what came of the one that was asked."""
    written = drafts.fields(key)
    drafts.keep(key, {name: said for name, said in written.items() if name == key or name.startswith("ask_")})


def _servers(client: Client) -> bool:
    if any("chat" in worker["queues"] for worker in client.workers()):
        return True
    st.warning(NO_SERVER, title="No model can be asked now", icon=":material/cloud_off:")
    st.button("Look again", icon=":material/refresh:", key="look_for_servers")
    return False


def _verifier(client: Client, job: Job | None) -> Json | None:
    """What scores the answers; those who may only look run no verifier."""
    refused = rights.refusal(client)
    saved: list[Verifier] = client.all_verifiers()
    names = {NO_VERIFIER: "none"} | ({} if job is None else {OF_JOB: "the one it was trained with"})
    names |= {verifier["id"]: verifier["name"] for verifier in saved}
    chosen = st.selectbox(
        "Score with",
        list(names),
        index=0 if job is None or refused else 1,
        format_func=told_apart(names, more=lambda verifier_id: verifier_id[-6:]),
        key="ask_verifier",
        disabled=refused is not None,
        help=refused or "A verifier that says under each answer whether it is right, and why.",
    )
    if chosen == OF_JOB and job is not None:
        grader: Json = job["method"]["reinforcement"]["grader"]
        return grader
    return next((verifier["grader"] for verifier in saved if verifier["id"] == chosen), None)


def _sampling(job: Job | None) -> tuple[float, int]:
    usual = USUAL_TOKENS if job is None else job["method"]["reinforcement"]["x_rlsd"]["max_completion_tokens"]
    temperature = st.number_input(
        "Temperature",
        0.0,
        2.0,
        0.0,
        step=0.1,
        key="ask_temperature",
        width=140,
        help="0: the likeliest answer, the same each time. 1: as in training, another one each time.",
    )
    most = st.number_input(
        "Longest answer (tokens)",
        1,
        100_000,
        int(usual),
        key="ask_tokens",
        width=190,
        help="A token is about three quarters of an English word. Longer answers are cut off here.",
    )
    return float(temperature), int(most)


def _show(client: Client, exchange: Exchange, *, grader: Json | None, above: float, key: str) -> None:
    asking = exchange.asking
    places = _places(exchange, key=key)
    if not asking.over:
        _follow(asking, places)
        st.rerun()
    _score(client, exchange, grader=grader)
    for number, (place, answer) in enumerate(zip(places, asking.answers, strict=True)):
        with place.container():
            _ended(answer, exchange.records[number] if exchange.records else None, above=above)


def _follow(asking: AnswerStreams, places: Sequence[DeltaGenerator]) -> None:
    """Draw what has been said until all have ended. A click or a refresh ends this run, and the next one goes on."""
    while not asking.over:
        for place, answer in zip(places, asking.answers, strict=True):
            _say(place, answer)
        asking.wait(DRAW_S)


def _places(exchange: Exchange, *, key: str) -> list[DeltaGenerator]:
    places = []
    for some in _rows(exchange.titles):
        for column, (number, title) in zip(st.columns(len(some)), some, strict=True):
            with column.container(border=True, height="stretch", key=f"{key}_answer_{number}"):
                st.markdown(f"**{title}**")
                places.append(st.empty())
    return places


def _rows(titles: Sequence[str]) -> list[list[tuple[int, str]]]:
    numbered = list(enumerate(titles))
    return [numbered[first : first + IN_A_ROW] for first in range(0, len(numbered), IN_A_ROW)]


def _say(place: DeltaGenerator, answer: ModelAnswer) -> None:
    if answer.text or answer.over:
        place.text(answer.text + ("" if answer.over else " ▌"))
    else:
        place.caption(":material/hourglass_top: Waiting for the first word. A model that rests is loaded first.")


def _ended(answer: ModelAnswer, record: ScoreRecord | None, *, above: float) -> None:
    if answer.text:
        st.text(answer.text)
    if answer.error is not None:
        problems.show(answer.error, title="No answer" if not answer.text else "The answer broke off")
        return
    if not answer.text:
        st.caption("It ended without a word." if answer.over else "Stopped before the first word.")
    how = ENDS.get(answer.finish_reason or "", "stopped")
    counted = "" if answer.tokens is None else units.count(answer.tokens, "token") + ", "
    took = "" if answer.seconds is None or answer.waited_s is None else f", written in {answer.seconds:.1f} s"
    waited = "" if answer.waited_s is None else f"; its first word came after {answer.waited_s:.1f} s"
    st.caption(f"{counted}{how}{took}{waited}")
    if record is not None:
        _scored(record, above=above)


def _scored(record: ScoreRecord, *, above: float) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        score.badge(record, above=above)
        score.score(record, above=above)
    if record["status"] in score.NO_SCORE:
        st.caption(score.NO_SCORE[record["status"]])
    if record["reason"]:
        st.caption(record["reason"])


def _score(client: Client, exchange: Exchange, *, grader: Json | None) -> None:
    """With the verifier that is chosen now; once. Answers that failed or broke off are left out."""
    by = None if grader is None else json.dumps(grader, sort_keys=True)
    if by == exchange.scored_by:
        return
    exchange.records, exchange.scored_by = [], by
    answers = exchange.asking.answers
    texts = [answer.text for answer in answers if answer.error is None]
    if grader is None or not texts:
        return
    try:
        with st.spinner("The verifier reads the answers…"):
            records = iter(client.score_texts(grader, item=exchange.item, answer=exchange.answer, texts=texts))
        exchange.records = [next(records) if answer.error is None else None for answer in answers]
    except ApiError as error:
        exchange.scored_by = None
        problems.show(error, title="The answers could not be scored")
