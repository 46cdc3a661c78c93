"""The text of one completion with every token coloured by its credit."""

import html
import math
from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st

from frontend.shapes import Tokens

Measure = Literal["weight", "advantage", "evidence"]
MEASURES: dict[Measure, str] = {
    "weight": "Weight",
    "advantage": "Applied credit",
    "evidence": "Teacher's evidence",
}
MEANINGS: dict[Measure, str] = {
    "weight": "How far the teacher raises (green) or lowers (red, dotted) this token's share of the verdict. "
    "1 is neutral.",
    "advantage": "What the update pushes: green makes the token likelier, red (dotted) less likely.",
    "evidence": "How much likelier (green) or less likely (red, dotted) the token becomes once the hint is known.",
}
CONTRASTED = (
    "How much likelier (green) or less likely (red, dotted) the token is under the hint than under the one that this "
    "method holds against it."
)
"""The same where the method has a second hint."""
MORE, LESS = "22, 163, 74", "220, 38, 38"
STRONGEST = 0.75
"""Opacity of the strongest colour, on which text can still be read."""
UNHEARD = (
    "No teacher was asked for this completion: its group was all right or all wrong, there was no hint to give, or λ "
    "or α was 0."
)
NOT_KEPT = "An earlier release trained this job: it did not keep the teacher's evidence as the method weighed it."


def values_of(tokens: Tokens, measure: Measure) -> list[float] | None:
    """The measure per token; None where there is none. Weights are shown as their logarithm."""
    if measure == "advantage":
        return tokens["advantage"]
    if measure == "weight":
        return [math.log(max(weight, 1e-6)) for weight in tokens["weight"]]
    return tokens["delta"]


def coloured(tokens: Tokens, values: Sequence[float], *, evenly_to: float | None = None) -> str:
    """HTML: one span a token, its numbers in the tooltip. Text is escaped.

    The largest value has the strongest colour, and small ones are raised to be seen. With `evenly_to`, to compare
    texts, the strength is the share of that value instead. What is lowered is dotted as well, for those who do not tell
    the colours apart.
    """
    largest = max((abs(value) for value in values), default=0.0) if evenly_to is None else evenly_to
    spans = []
    for place, (text, value) in enumerate(zip(tokens["text"], values, strict=True)):
        share = 0.0 if largest == 0 else min(1.0, abs(value) / largest)
        strength = STRONGEST * (math.sqrt(share) if evenly_to is None else share)
        style = f"background:rgba({MORE if value > 0 else LESS}, {strength:.2f})"
        lowered = ' class="lowered"' if value < 0 and strength >= 0.1 else ""
        title = html.escape(numbers_of(tokens, place))
        spans.append(f'<span{lowered} style="{style}" title="{title}">{html.escape(text)}</span>')
    return f'<div class="tokens">{"".join(spans)}</div>'


def numbers_of(tokens: Tokens, place: int) -> str:
    """All numbers of a token in one line."""
    numbers = f"token {place + 1}: weight {tokens['weight'][place]:.3g}, credit {tokens['advantage'][place]:+.3g}"
    numbers += f", log-probability {tokens['logp_student'][place]:.3g}"
    for name, values in (("with hint", tokens["logp_teacher"]), ("with the other hint", tokens["logp_contrast"])):
        if values is not None:
            numbers += f", {name} {values[place]:.3g}"
    if tokens["delta"] is not None:
        numbers += f", evidence {tokens['delta'][place]:+.3g}"
    return numbers


def table(tokens: Tokens) -> list[dict[str, Any]]:
    """A line a token, for those who would rather read than hover."""

    def at(place: int, values: list[float] | None) -> float | None:
        return None if values is None else values[place]

    return [
        {
            "token": place + 1,
            "text": tokens["text"][place],
            "evidence": at(place, tokens["delta"]),
            "weight": tokens["weight"][place],
            "applied credit": tokens["advantage"][place],
            "log-probability": tokens["logp_student"][place],
            "with hint": at(place, tokens["logp_teacher"]),
            "with the other hint": at(place, tokens["logp_contrast"]),
        }
        for place in range(len(tokens["ids"]))
    ]


def measure_choice(*, key: str, disabled: bool) -> Measure:
    return st.segmented_control(
        "Colour by",
        list(MEASURES),
        format_func=MEASURES.__getitem__,
        default="weight",
        required=True,
        disabled=disabled,
        key=f"{key}_measure",
    )


def show(tokens: Tokens, *, measure: Measure) -> None:
    values = values_of(tokens, measure)
    if values is None:
        st.info(UNHEARD if tokens["logp_teacher"] is None else NOT_KEPT)
        return
    st.html(coloured(tokens, values))
    contrasted = measure == "evidence" and tokens["logp_contrast"] is not None
    st.caption(f"{CONTRASTED if contrasted else MEANINGS[measure]} Hover over a token for its numbers.")


def beside_grpo(tokens: Tokens, *, advantage: float, method: str) -> None:
    """The same text twice: the verdict spread evenly, and as this method spread it; the colours on one scale.

    `advantage`: of the completion, which is every token's under GRPO.
    """
    even = [advantage] * len(tokens["ids"])
    largest = max((abs(value) for value in (*even, *tokens["advantage"])), default=0.0)
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        st.markdown(f"**GRPO**: every token gets {advantage:+.2f}")
        st.html(coloured(tokens, even, evenly_to=largest))
    with right.container(border=True, height="stretch"):
        low, high = min(tokens["advantage"], default=0.0), max(tokens["advantage"], default=0.0)
        st.markdown(f"**{method}**: tokens get {low:+.2f} to {high:+.2f}")
        st.html(coloured(tokens, tokens["advantage"], evenly_to=largest))
    st.caption(
        "The verifier's verdict on the whole text is the same on both sides. GRPO cannot tell the step that decided it "
        "from the rest; a teacher who knows the hint gives the larger share to the tokens that did."
    )
