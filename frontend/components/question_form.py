"""What to ask: own words with images, or a row of a dataset, whose right answer a verifier then knows."""

import streamlit as st

from frontend.api import Client
from frontend.components import questions, row_choice, row_view
from frontend.components.questions import Question
from frontend.widgets import images as pictures

OWN, ROW = "My own words", "A row of a dataset"
IMAGE_TYPES = ["png", "jpg", "jpeg", "webp", "gif"]


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
    files = client.datasets()
    if not files:
        st.info("There is no dataset yet: ask in your own words, or upload one.", icon=":material/inbox:")
        return None
    found = row_choice.row(client, files, key="ask", first=dataset)
    if found is None:
        return None
    file, row = found
    picture = pictures.of(client, file["id"])
    with st.container(border=True):
        st.caption("The question")
        row_view.asked(row, picture=picture)
        st.caption("The right answer, which the models do not see")
        st.text(row["reference"]["answer"] or "Only the verifier knows.")
    return questions.of_row(row, picture=picture)
