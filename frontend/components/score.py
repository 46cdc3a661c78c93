"""One score record of a verifier: score, status, reason, time."""

import streamlit as st

from frontend.api.types import ScoreRecordObject
from frontend.words import units
from frontend.words.rollouts import OUTCOMES, outcome_of, right_is

NO_SCORE = {
    "abstain": "The verifier abstained on this text. In training, such a completion is left out.",
    "error": "The verifier failed. In training, such a completion is left out and counted as an error.",
    "timeout": "The verifier exceeded its time limit. In training, such a completion is left out and counted as a "
    "timeout.",
}


def badge(record: ScoreRecordObject, *, above: float) -> None:
    """Show the outcome: right, wrong, not judged, or an error."""
    look = OUTCOMES[outcome_of(record, above=above)]
    st.badge(look.label, color=look.color, icon=look.icon)


def score(record: ScoreRecordObject, *, above: float) -> None:
    """Show the score as a caption, with what counts as right as help."""
    value = record["score"]
    st.caption("no score" if value is None else f"score {value:g}", width="content", help=right_is(above))


def show(record: ScoreRecordObject, *, above: float, key: str = "verdict") -> None:
    with st.container(border=True, key=key):
        with st.container(horizontal=True, vertical_alignment="center"):
            value = record["score"]
            st.metric("Score", "none" if value is None else f"{value:g}", width=130, help=right_is(above))
            badge(record, above=above)
            st.caption(f"{units.milliseconds(record['ms'])}", width="content")
        if record["status"] in NO_SCORE:
            st.write(NO_SCORE[record["status"]])
        if record["reason"]:
            st.caption("Reason")
            st.code(record["reason"], language=None, wrap_lines=True)
        if record["components"]:
            st.caption("Components")
            st.table(record["components"])
        if record.get("stdout"):
            st.caption("Printed")
            st.code(record["stdout"], language=None, wrap_lines=True)
