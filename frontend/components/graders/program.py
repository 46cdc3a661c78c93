"""Form of the kind `python`."""

import streamlit as st

from frontend.components.graders.form import form
from frontend.shapes import Json

START = 'def grade(item, output_text):\n    return 1.0 if item["answer"] in output_text else 0.0\n'
HELP = (
    "`item` is the row as uploaded, `output_text` what the model wrote. Also accepted: the signatures of OpenAI "
    "(sample, item), TRL, verl and others. Return a number, None to abstain, or "
    '{"score": …, "reason": …, "components": {…}}. It is checked whenever you leave the field or press Ctrl+Enter.'
)


def _python(grader: Json, key: str) -> Json:
    with st.container(key=f"code_{key}"):
        source = st.text_area("Python source", grader.get("source", START), height=340, key=f"{key}_source", help=HELP)
    alone = st.checkbox(
        "A process for every call",
        grader.get("isolation") == "call",
        key=f"{key}_isolation",
        help="For verifiers that execute what the model wrote. Off: where the source needs it.",
    )
    return {"source": source} | ({"isolation": "call"} if alone else {})


PYTHON = form(_python, "source", "isolation")
