"""One verdict of a verifier: score, status, why, how long."""

import streamlit as st

from frontend import units
from frontend.shapes import ScoreRecord

STATUS_LOOKS = {
    "ok": ("scored", "green", ":material/check:"),
    "abstain": ("abstained", "gray", ":material/do_not_disturb_on:"),
    "error": ("error", "red", ":material/error:"),
    "timeout": ("timed out", "orange", ":material/timer_off:"),
}
NO_SCORE = {
    "abstain": "The verifier does not judge this text. It is left out of training.",
    "error": "The verifier failed. Such a completion is left out of training and counted.",
    "timeout": "The verifier was stopped at its deadline. Such a completion is left out of training and counted.",
}


def badge(record: ScoreRecord) -> None:
    label, color, icon = STATUS_LOOKS[record["status"]]
    st.badge(label, color=color, icon=icon)  # type: ignore[arg-type]


def show(record: ScoreRecord, *, key: str = "verdict") -> None:
    with st.container(border=True, key=key):
        with st.container(horizontal=True, vertical_alignment="center"):
            score = record["score"]
            st.metric("Score", "none" if score is None else f"{score:g}", width=130)
            badge(record)
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
