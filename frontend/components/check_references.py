"""What a self-check found out about the references of the data: how they are read, and scores of altered ones."""

from typing import Any

import streamlit as st

from frontend.api.types import AlteredAnswer, ReferenceReading, SelfCheckResult
from frontend.components.check_matrix import FAULT, FOOLED, SAFE, SILENT

NOT_READ = "cannot be read"


def show(found: SelfCheckResult) -> None:
    """Show both tables, if there is something in them; results of earlier releases lack them."""
    readings, altered = found.get("readings") or [], found.get("altered") or []
    if readings:
        st.markdown("**How references are read**")
        st.caption("Examples of each form in the data. Two answers with the same value are the same to the verifier.")
        st.dataframe(readings_table(readings), hide_index=True, alt="References and the values read from them")
    if altered:
        st.markdown("**Altered right answers**")
        st.caption("Each differs from the reference by little, and is wrong: none may get the full score.")
        st.dataframe(altered_table(altered), hide_index=True, alt="Altered right answers and their scores")


def readings_table(readings: list[ReferenceReading]) -> list[dict[str, Any]]:
    """Build a line for each reference, with only those columns that say something."""
    lines = [
        {
            "grader": one["grader"],
            "reference": one["reference"],
            "read as": NOT_READ if one["read"] is None else one["read"],
            "left out": one["lost"],
        }
        for one in readings
    ]
    said = [name for name in ("grader", "reference", "read as", "left out") if any(line[name] for line in lines)]
    return [{name: line[name] for name in said} for line in lines]


def altered_table(altered: list[AlteredAnswer]) -> list[dict[str, Any]]:
    return [
        {
            "reference": one["reference"],
            "altered": one["altered"],
            "change": one["label"],
            "score": one["score"],
            "meaning": _meaning(one),
            "row": one["row"],
            "text": one["text"],
        }
        for one in altered
    ]


def _meaning(one: AlteredAnswer) -> str:
    if one["status"] in ("error", "timeout"):
        return FAULT
    if one["score"] is None:
        return SILENT
    return FOOLED if one["full"] else SAFE
