"""The verdict on held-out questions as a chip, the same on every page."""

import streamlit as st

from frontend.api.types import ModelObject, Verdict
from frontend.words.held_out import VERDICTS, scores


def chip(verdict: Verdict | None, *, about: str = "") -> None:
    """Show the verdict; nothing before there is one. `about`: a name in front of it."""
    if verdict is not None:
        look = VERDICTS[verdict]
        st.badge(f"{about}: {look.label.lower()}" if about else look.label, color=look.color, icon=look.icon)


def of_model(model: ModelObject) -> None:
    """Show the scores before and after training, and the verdict."""
    result = model.get("x_result")
    if result is None:
        return
    if line := scores(result):
        st.caption(line, width="content")
    chip(result["verdict"])
