"""The verdict of a check before training, the same for all kinds."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from frontend.api.types import CheckVerdict, Finding, Remedy
from frontend.words.field_names import in_form_words
from frontend.words.markdown import plain

LOOKS: dict[str, tuple[str, Any, str]] = {
    "pass": ("passed", "green", ":material/check_circle:"),
    "warn": ("warning", "orange", ":material/warning:"),
    "fail": ("failed", "red", ":material/error:"),
}
"""Verdict or level of a finding -> (word, colour, icon)."""
MOST_REMEDIES = 4


def badge(verdict: str) -> None:
    word, color, icon = LOOKS[verdict]
    st.badge(word, color=color, icon=icon)


def show(found: CheckVerdict) -> None:
    """Show verdict, summary and findings, the worst first."""
    with st.container(horizontal=True, vertical_alignment="center"):
        badge(found["verdict"])
        st.text(in_form_words(found["summary"]), width="stretch")
    findings(found["findings"], summary=found["summary"])


def findings(found: Sequence[Finding], *, summary: str) -> None:
    """Show the findings, except one with which the summary begins."""
    for finding in found:
        if not summary.startswith(finding["message"]):
            _, color, icon = LOOKS[finding["level"]]
            st.markdown(f":{color}[{icon}] {plain(in_form_words(finding['message']))}")


def remedies(found: Sequence[Finding]) -> list[Remedy]:
    """Return the remedies of findings that do not pass, each once, those of the first findings first."""
    offered = [remedy for finding in found if finding["level"] != "pass" for remedy in finding.get("remedies", [])]
    return list({remedy["code"]: remedy for remedy in offered}.values())[:MOST_REMEDIES]
