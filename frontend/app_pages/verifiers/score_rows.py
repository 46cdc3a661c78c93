"""A verifier's scores on data: of the right answers, and of an untrained model's answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import FileRow, Json, ScoreRecordObject
from frontend.components import questions, rights, row_choice, row_view
from frontend.components import score as verdict
from frontend.widgets import images, problems
from frontend.words import units
from frontend.words.markdown import plain
from frontend.words.rollouts import SUCCESS_ABOVE

KEPT = "on_data_kept"
MOST_ROWS, USUAL_ROWS = 12, 4
MOST_ANSWERS, USUAL_ANSWERS = 4, 2
USUAL_TOKENS = 256
REASON_CHARACTERS = 400
ANSWER, SOLUTION, MODEL = "Right answer", "Worked solution", "Model answer"


@dataclass(frozen=True, slots=True)
class Column:
    """One text of a row: its right answer, its worked solution, or a model's answer.

    `record`: its score, once there is one.
    """

    title: str
    text: str
    record: ScoreRecordObject | None = None


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Rows with their texts, as last shown. `scored_by`: the verifier of the scores."""

    rows: tuple[FileRow, ...]
    columns: tuple[tuple[Column, ...], ...]
    of: tuple[str, int, int]
    """Dataset id, first row, number of rows."""
    scored_by: str = ""
    model: str = field(default="")


def panel(client: Client, grader: Json) -> None:
    st.subheader("Test on your data", anchor=False)
    st.caption(
        "Compares the right answers of your rows with the answers of an untrained model, each with this verifier's "
        "score. Right answers should get the full score. The model's answers should be partly right and partly wrong: "
        "training learns from such a mixture."
    )
    files = client.datasets()
    if not files:
        st.info("This needs a dataset. Upload one first.", icon=":material/inbox:")
        return
    bases = [str(model["id"]) for model in client.models() if model.get("owned_by") == "base"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        file = row_choice.dataset(files, label="Dataset", key="beside_dataset", like=row_choice.OF_A_VERIFIER)
        first = row_choice.number(file, label="First row", key="beside_first")
        count = int(st.number_input("Rows", 1, MOST_ROWS, USUAL_ROWS, key="beside_rows", width=110))
        score = rights.button(client, "Score right answers", icon=":material/fact_check:", key="beside_score")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = st.selectbox("Untrained model", bases, accept_new_options=True, key="beside_model", width=260)
        answers = int(
            st.number_input("Answers per row", 1, MOST_ANSWERS, USUAL_ANSWERS, key="beside_answers", width=110)
        )
        tokens = int(
            st.number_input(
                "Maximum tokens", 1, 8192, USUAL_TOKENS, step=64, key="beside_tokens", width=130, help="Per answer."
            )
        )
        write = rights.button(
            client, "Sample answers", icon=":material/smart_toy:", key="beside_write", disabled=not model
        )
    kept: ScoredRows | None = st.session_state.get(KEPT)
    try:
        if score or write:
            of = (file["id"], first, count)
            if kept is None or kept.of != of:
                kept = with_references(client.rows_from(file["id"], first, limit=count), of=of)
            if write and any(questions.uses_tools(row) for row in kept.rows):
                st.warning(questions.NO_TOOLS, icon=":material/build:")
            elif write:
                kept = _answered(client, kept, model=model, count=answers, tokens=tokens)
            with st.spinner("Scoring…"):
                kept = _scored(client, kept, grader)
            st.session_state[KEPT] = kept
    except ApiError as error:
        problems.show(error, title="The answers were not sampled" if write else "The answers were not scored")
    if kept is not None:
        _show(client, kept, grader)


def references(row: FileRow) -> tuple[Column, ...]:
    """Return the right answer, and the worked solution if it contains it: what a right completion looks like."""
    answer, solution = row["reference"].get("answer") or "", row["reference"].get("solution") or ""
    worked = (Column(SOLUTION, solution),) if solution and answer in solution else ()
    return (*([Column(ANSWER, answer)] if answer or not worked else []), *worked)


def with_references(rows: Sequence[FileRow], *, of: tuple[str, int, int]) -> ScoredRows:
    return ScoredRows(rows=tuple(rows), columns=tuple(references(row) for row in rows), of=of)


def _answered(client: Client, kept: ScoredRows, *, model: str, count: int, tokens: int) -> ScoredRows:
    """Return the rows with newly sampled answers."""
    progress = st.progress(0.0, text=f"{model} is answering…")
    columns = []
    for place, row in enumerate(kept.rows):
        question = questions.of_row(row, image=images.loader(client, kept.of[0]))
        texts = client.sample_answers(model, question.prompt(instruction=""), count=count, max_tokens=tokens)
        columns.append((*references(row), *(Column(MODEL, text) for text in texts)))
        progress.progress(
            units.share(place + 1, len(kept.rows)), text=f"{place + 1} of {units.count(len(kept.rows), 'row')}"
        )
    progress.empty()
    return replace(kept, columns=tuple(columns), model=model)


def _scored(client: Client, kept: ScoredRows, grader: Json) -> ScoredRows:
    samples = [
        {"item": row["item"], "answer": row_view.right_answer(row), "output_text": column.text}
        for row, columns in zip(kept.rows, kept.columns, strict=True)
        for column in columns
    ]
    records = iter(client.score_all(grader, samples))
    columns = tuple(tuple(replace(column, record=next(records)) for column in texts) for texts in kept.columns)
    return replace(kept, columns=columns, scored_by=_fingerprint(grader))


def _show(client: Client, kept: ScoredRows, grader: Json) -> None:
    if kept.scored_by != _fingerprint(grader):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(":material/history: These scores are of an earlier draft of the verifier.", width="content")
            if rights.button(client, "Score again", icon=":material/refresh:", key="beside_again"):
                with problems.shown():
                    st.session_state[KEPT] = _scored(client, kept, grader)
                    st.rerun()
    st.markdown(summary(kept))
    for number, (row, columns) in enumerate(zip(kept.rows, kept.columns, strict=True), start=kept.of[1]):
        with st.container(border=True, key=f"beside_{number}"):
            st.caption(f"Row {number}")
            row_view.show_question(row, image=images.loader(client, kept.of[0]))
            for place, column in zip(st.columns(len(columns)), columns, strict=True):
                with place:
                    _text(column)


def summary(kept: ScoredRows) -> str:
    """Summarise the mean scores of each kind of text."""
    parts = []
    for title in (ANSWER, SOLUTION, MODEL):
        records = [c.record for texts in kept.columns for c in texts if c.title == title and c.record]
        scores = [record["score"] for record in records if record["score"] is not None]
        if scores:
            faults = len(records) - len(scores)
            parts.append(
                f"**{title}s**: mean score {sum(scores) / len(scores):.2g} over "
                f"{units.count(len(scores), 'text')}" + (f", {faults} without a score" if faults else "")
            )
    return " · ".join(parts)


def _text(column: Column) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{column.title}**", width="content")
        if column.record is not None:
            verdict.badge(column.record, above=SUCCESS_ABOVE)
            verdict.score(column.record, above=SUCCESS_ABOVE)
    st.code(
        column.text or "(nothing)", language=None, wrap_lines=True, height="content" if len(column.text) < 400 else 160
    )
    if column.record is not None and column.record["reason"]:
        st.caption(plain(column.record["reason"][:REASON_CHARACTERS]))


def _fingerprint(grader: Json) -> str:
    return json.dumps(grader, sort_keys=True)
