"""The verdict of a check before training, the same for all kinds."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from frontend.api.types import CheckVerdict, Finding
from frontend.words.markdown import plain

LOOKS: dict[str, tuple[str, Any, str]] = {
    "pass": ("passed", "green", ":material/check_circle:"),
    "warn": ("warning", "orange", ":material/warning:"),
    "fail": ("failed", "red", ":material/error:"),
}
"""Verdict or level of a finding -> (word, colour, icon)."""


def badge(verdict: str) -> None:
    word, color, icon = LOOKS[verdict]
    st.badge(word, color=color, icon=icon)


def show(found: CheckVerdict) -> None:
    """Show verdict, summary and findings, the worst first."""
    with st.container(horizontal=True, vertical_alignment="center"):
        badge(found["verdict"])
        st.text(found["summary"], width="stretch")
    findings(found["findings"], summary=found["summary"])


def findings(found: Sequence[Finding], *, summary: str) -> None:
    """Show the findings, except one with which the summary begins."""
    for finding in found:
        if not summary.startswith(finding["message"]):
            _, color, icon = LOOKS[finding["level"]]
            st.markdown(f":{color}[{icon}] {plain(finding['message'])}")
