"""The text of one completion with every token coloured by its credit."""

import html
import math
from collections.abc import Sequence
from typing import Literal

import streamlit as st

from frontend.shapes import Tokens

Measure = Literal["weight", "advantage", "evidence"]
MEASURES: dict[Measure, str] = {
    "weight": "Weight",
    "advantage": "Applied credit",
    "evidence": "Teacher's evidence",
}
MEANINGS: dict[Measure, str] = {
    "weight": "How far the teacher raises (green) or lowers (red) this token's share of the verdict. 1 is neutral.",
    "advantage": "What the update pushes: green makes the token likelier, red less likely.",
    "evidence": "How much likelier (green) or less likely (red) the token becomes once the hint is known.",
}
MORE, LESS = "22, 163, 74", "220, 38, 38"


def values_of(tokens: Tokens, measure: Measure) -> list[float] | None:
    """The measure per token; None where the teacher was not asked. Weights are shown as their logarithm."""
    if measure == "advantage":
        return tokens["advantage"]
    if measure == "weight":
        return [math.log(max(weight, 1e-6)) for weight in tokens["weight"]]
    teacher = tokens["logp_teacher"]
    if teacher is None:
        return None
    return [with_hint - alone for with_hint, alone in zip(teacher, tokens["logp_student"], strict=True)]


def coloured(tokens: Tokens, values: Sequence[float]) -> str:
    """HTML: one span a token, its numbers in the tooltip. Text is escaped."""
    largest = max((abs(value) for value in values), default=0.0)
    spans = []
    for place, (text, value) in enumerate(zip(tokens["text"], values, strict=True)):
        strength = 0.0 if largest == 0 else 0.75 * math.sqrt(abs(value) / largest)
        color = f"rgba({MORE if value > 0 else LESS}, {strength:.2f})"
        numbers = f"token {place + 1}: weight {tokens['weight'][place]:.3g}, credit {tokens['advantage'][place]:+.3g}"
        numbers += f", log-probability {tokens['logp_student'][place]:.3g}"
        if tokens["logp_teacher"] is not None:
            numbers += f", with hint {tokens['logp_teacher'][place]:.3g}"
        spans.append(f'<span style="background:{color}" title="{html.escape(numbers)}">{html.escape(text)}</span>')
    return f'<div class="tokens">{"".join(spans)}</div>'


def show(tokens: Tokens, *, key: str) -> None:
    measure: Measure = (
        st.segmented_control(
            "Colour by", list(MEASURES), format_func=MEASURES.__getitem__, default="weight", key=f"{key}_measure"
        )
        or "weight"
    )
    values = values_of(tokens, measure)
    if values is None:
        st.info(
            "No teacher was asked for this completion: its group was all right or all wrong, there was no hint to "
            "give, or λ or α was 0."
        )
        return
    st.html(coloured(tokens, values))
    st.caption(f"{MEANINGS[measure]} Hover over a token for its numbers.")
