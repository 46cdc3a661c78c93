"""The question form: own text with images, or a row of a dataset, with its right answer for a verifier."""

import streamlit as st

from frontend.api import Client
from frontend.components import questions, row_choice, row_view
from frontend.components.questions import Question
from frontend.widgets import images as dataset_images

OWN, ROW = "Own question", "Dataset row"
IMAGE_TYPES = ["png", "jpg", "jpeg", "webp", "gif"]


def show(client: Client, *, dataset: str | None) -> Question | None:
    """Return the question; None while there is none. `dataset`: the dataset offered first."""
    source = st.segmented_control("Question", [OWN, ROW], default=OWN, required=True, key="ask_from")
    return _own() if source == OWN else _row(client, dataset=dataset)


def _own() -> Question | None:
    text = st.text_area(
        "Your question", height=100, key="ask_text", placeholder="Ask what your users would ask…"
    ).strip()
    with st.expander("Right answer, system message, images", icon=":material/tune:"):
        left, right = st.columns(2)
        answer = left.text_input(
            "Right answer (optional)",
            key="ask_answer",
            help="A verifier can compare answers with it. The models do not see it.",
        ).strip()
        system = right.text_area(
            "System message (optional)",
            height=70,
            key="ask_system",
            help="Instructions to the models on how to behave.",
        ).strip()
        uploaded = st.file_uploader(
            "Images (optional)",
            type=IMAGE_TYPES,
            accept_multiple_files=True,
            key="ask_images",
            help="Only for models that read images (Qwen-VL family); other models refuse them.",
        )
        images = [file.getvalue() for file in uploaded or ()]
        if images:
            st.image(images, width=row_view.IMAGE_PX)
    return questions.own(text, system=system, answer=answer or None, images=images) if text else None


def _row(client: Client, *, dataset: str | None) -> Question | None:
    files = client.datasets()
    if not files:
        st.info("There is no dataset yet. Ask your own question, or upload a dataset.", icon=":material/inbox:")
        return None
    found = row_choice.row(client, files, key="ask", first=dataset)
    if found is None:
        return None
    file, row = found
    image = dataset_images.loader(client, file["id"])
    with st.container(border=True):
        st.caption("Question")
        row_view.show_question(row, image=image)
        st.caption("Right answer (not shown to the models)")
        st.text(row["reference"]["answer"] or "Known only to the verifier.")
    if questions.uses_tools(row):
        st.warning(questions.NO_TOOLS, icon=":material/build:")
        return None
    return questions.of_row(row, image=image)
