"""What to ask: own words with images, or a row of a dataset, whose right answer a verifier then knows."""

import random

import streamlit as st

from frontend import questions
from frontend.client import Client
from frontend.components import pictures, row_view
from frontend.components.job_choices import told_apart
from frontend.questions import Question
from frontend.shapes import DataFile, Row

OWN, ROW = "My own words", "A row of a dataset"
IMAGE_TYPES = ["png", "jpg", "jpeg", "webp", "gif"]
MOST_ROWS = 1_000_000


def show(client: Client, *, dataset: str | None) -> Question | None:
    """The question as chosen; None while there is none. `dataset`: whose rows to offer first."""
    source = st.segmented_control("Question", [OWN, ROW], default=OWN, required=True, key="ask_from")
    return _own() if source == OWN else _row(client, dataset=dataset)


def _own() -> Question | None:
    text = st.text_area(
        "Your question", height=100, key="ask_text", placeholder="Ask what your users would ask…"
    ).strip()
    with st.expander("Right answer, instructions, images", icon=":material/tune:"):
        left, right = st.columns(2)
        answer = left.text_input(
            "Right answer (optional)",
            key="ask_answer",
            help="A verifier compares with it; it is not shown to the models.",
        ).strip()
        system = right.text_area(
            "Instructions to the models (optional)",
            height=70,
            key="ask_system",
            help="A system message: how to behave, in every conversation.",
        ).strip()
        uploaded = st.file_uploader(
            "Images (optional)",
            type=IMAGE_TYPES,
            accept_multiple_files=True,
            key="ask_images",
            help="For models that read images, those of the Qwen-VL family; others say that they do not.",
        )
        images = [file.getvalue() for file in uploaded or ()]
        if images:
            st.image(images, width=row_view.IMAGE_PX)
    return questions.own(text, system=system, answer=answer or None, images=images) if text else None


def _row(client: Client, *, dataset: str | None) -> Question | None:
    files: list[DataFile] = client.datasets()
    if not files:
        st.info("There is no dataset yet: ask in your own words, or upload one.", icon=":material/inbox:")
        return None
    names = {file["id"]: file["filename"] for file in files}
    ids = list(names)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Dataset",
            ids,
            index=ids.index(dataset) if dataset in ids else 0,
            format_func=told_apart(names, more=lambda file_id: file_id[-6:]),
            key="ask_dataset",
        )
        count = next(file["rows"] for file in files if file["id"] == chosen)
        last = max(count - 1, 0)
        if st.session_state.get("ask_row", 0) > last:
            st.session_state["ask_row"] = 0
        number = int(st.number_input("Row", 0, last, 0, key="ask_row", help=f"From 0 to {last:,}.", width=140))
        st.button("Any row", icon=":material/casino:", key="ask_any", on_click=_any_row, args=(last,))
    found: list[Row] = client.file_rows(chosen, after=f"row-{number - 1}" if number else None, limit=1)["data"]
    if not found:
        st.info("This dataset has no such row.", icon=":material/inbox:")
        return None
    _shown(client, chosen, found[0])
    return questions.of_row(found[0], picture=pictures.of(client, chosen))


def _any_row(last: int) -> None:
    st.session_state["ask_row"] = random.randint(0, last)  # noqa: S311 - nothing hangs on it


def _shown(client: Client, file_id: str, row: Row) -> None:
    with st.container(border=True):
        st.caption("The question")
        row_view.asked(row, picture=pictures.of(client, file_id))
        st.caption("The right answer, which the models do not see")
        st.text(row["reference"]["answer"] or "Only the verifier knows.")
