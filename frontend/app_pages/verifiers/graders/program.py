"""Form of the kind `python`."""

import streamlit as st

from frontend.api.types import Json, ScoreRecordObject
from frontend.app_pages.verifiers.graders.form import DEFAULT_RANGE, form, score_range
from frontend.widgets import code_field

START = "def grade(completion, answer):\n    return 1.0 if answer in completion else 0.0\n"
HELP = (
    "`completion` is the model's answer, `answer` the row's right answer; `grade(item, output_text)` takes the whole "
    "row as uploaded. Also accepted: the signatures of OpenAI (sample, item), TRL, verl, OpenRLHF, EasyR1 and others. "
    'Return a number, None to abstain, or {"score": …, "reason": …, "components": {…}}. To run code that the model '
    "wrote, `import model_code`, as the template “Code that passes unit tests” does."
)

RANGE_HELP = (
    "A score beyond is an error of its row. If several functions are added up, 0 to 1 stands for 0 to their number."
)


def faults_of(source: str) -> list[code_field.CodeFault]:
    """Return where this source failed when it was last tested."""
    record: ScoreRecordObject | None = st.session_state.get("try_verdict")
    if record is None or st.session_state.get("try_verdict_source") != source:
        return []
    return code_field.faults_of_run(record["reason"], status=record["status"])


def _python(grader: Json, key: str) -> Json:
    source = code_field.field(
        "Python source",
        grader.get("source", START),
        language="python",
        key=f"{key}_source",
        height_px=340,
        faults=faults_of(str(st.session_state.get(code_field.text_key(f"{key}_source"), ""))),
    )
    st.caption(HELP)
    alone = st.checkbox(
        "A separate process for each call",
        grader.get("isolation") == "call",
        key=f"{key}_isolation",
        help="Keeps rows apart. Off: only if the source needs it. It does not keep code of the model from its score.",
    )
    ends = score_range(grader, key, help=RANGE_HELP)
    chosen = {"range": list(ends)} if "range" in grader or ends != DEFAULT_RANGE else {}
    return {"source": source} | chosen | ({"isolation": "call"} if alone else {})


PYTHON = form(_python, "source", "isolation", "range")
