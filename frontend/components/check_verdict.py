"""The verdict of a check before training, in the form that all of them share."""

from typing import Any

import streamlit as st

from frontend.shapes import CheckVerdict

LOOKS: dict[str, tuple[str, Any, str]] = {
    "pass": ("passed", "green", ":material/check_circle:"),
    "warn": ("look at this", "orange", ":material/warning:"),
    "fail": ("failed", "red", ":material/error:"),
}
"""Verdict or level of a finding -> (word, colour, icon)."""


def badge(verdict: str) -> None:
    word, color, icon = LOOKS[verdict]
    st.badge(word, color=color, icon=icon)


def show(found: CheckVerdict) -> None:
    """Verdict, summary, and each finding, the worst first."""
    with st.container(horizontal=True, vertical_alignment="center"):
        badge(found["verdict"])
        st.text(found["summary"], width="stretch")
    findings(found)


def findings(found: CheckVerdict) -> None:
    """What the verdict rests on; a finding that is the summary already is not said twice."""
    for finding in found["findings"]:
        if finding["message"] != found["summary"]:
            _, color, icon = LOOKS[finding["level"]]
            with st.container(horizontal=True, gap="small"):
                st.markdown(f":{color}[{icon}]", width="content")
                st.text(finding["message"], width="stretch")
