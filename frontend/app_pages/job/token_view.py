"""The text of a completion with every token coloured by its credit."""

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import streamlit as st

from frontend.api.types import TokensObject

Measure = Literal["advantage", "weight", "evidence"]
MEASURES: dict[Measure, str] = {
    "advantage": "Applied credit",
    "weight": "Weight",
    "evidence": "Teacher evidence",
}
MEANINGS: dict[Measure, str] = {
    "advantage": "The effect of the update: green tokens become more likely, red (dotted) ones less likely.",
    "weight": "This token's share of the credit, positive or negative: the stronger the violet, the larger. 1 is an "
    "even share.",
    "evidence": "How much more likely (green) or less likely (red, dotted) the hint makes the token.",
}
CONTRASTED = (
    "How much more likely (green) or less likely (red, dotted) the token is with the hint than with the method's "
    "second hint."
)
"""The meaning of the evidence if the method has a second hint."""
MORE, LESS, SHARE = "22, 163, 74", "220, 38, 38", "150, 112, 248"
"""RGB of raised tokens, lowered tokens, and of shares, which are neither good nor bad."""
STRONGEST = 0.68
"""Opacity of the strongest colour on which text is still readable."""
NO_TEACHER = (
    "No teacher was used for this completion: its group was all right or all wrong, there was no hint, or λ or α was 0."
)
NOT_KEPT = "This job was trained by an earlier release, which did not store the teacher's evidence."


def values_of(tokens: TokensObject, measure: Measure) -> list[float] | None:
    """Return the measure per token; None if there is none."""
    if measure == "advantage":
        return tokens["advantage"]
    return tokens["weight"] if measure == "weight" else tokens["delta"]


def coloured(tokens: TokensObject, values: Sequence[float], *, evenly_to: float | None = None) -> str:
    """Return HTML: raised tokens green, lowered ones red and, for colour-blind readers, dotted.

    The largest value has the strongest colour, and small ones are raised to be visible. With `evenly_to`, to compare
    texts, the strength is proportional to that value instead.
    """
    largest = max((abs(value) for value in values), default=0.0) if evenly_to is None else evenly_to
    shares = [0.0 if largest == 0 else min(1.0, abs(value) / largest) for value in values]
    strengths = [STRONGEST * (math.sqrt(share) if evenly_to is None else share) for share in shares]
    return _spans(tokens, ((MORE if v > 0 else LESS, s, v < 0) for v, s in zip(values, strengths, strict=True)))


def shaded(tokens: TokensObject) -> str:
    """Return HTML in one hue, from none at the smallest weight to the strongest at the largest."""
    low, high = min(tokens["weight"], default=0.0), max(tokens["weight"], default=0.0)
    span = high - low
    return _spans(tokens, ((SHARE, STRONGEST * (w - low) / span if span else 0.0, False) for w in tokens["weight"]))


def _spans(tokens: TokensObject, looks: Iterable[tuple[str, float, bool]]) -> str:
    """Return one span per token from (colour, strength, is lowered), with its values as tooltip. Text is escaped."""
    spans = []
    for place, (color, strength, lowers) in enumerate(looks):
        text = tokens["text"][place]
        ends = _ends(tokens, place)
        kind = "special" if ends else "lowered" if lowers and strength >= 0.1 else ""
        title = html.escape(numbers_of(tokens, place))
        shown = "end" if ends else html.escape(text)
        spans.append(
            f'<span class="{kind}" style="background:rgba({color}, {strength:.2f})" title="{title}">{shown}</span>'
        )
    return f'<div class="tokens">{"".join(spans)}</div>'


def _ends(tokens: TokensObject, place: int) -> bool:
    """Return whether a token ended the completion: the last one, without text. Others without text begin a character
    that a later one completes.
    """
    return place == len(tokens["text"]) - 1 and not tokens["text"][place]


def numbers_of(tokens: TokensObject, place: int) -> str:
    """Return all values of a token in one line."""
    numbers = f"token {place + 1}: weight {tokens['weight'][place]:.3g}, credit {tokens['advantage'][place]:+.3g}"
    numbers += f", log-probability {tokens['logp_student'][place]:.3g}"
    for name, values in (("with hint", tokens["logp_teacher"]), ("with the other hint", tokens["logp_contrast"])):
        if values is not None:
            numbers += f", {name} {values[place]:.3g}"
    if tokens["delta"] is not None:
        numbers += f", evidence {tokens['delta'][place]:+.3g}"
    return numbers


def table(tokens: TokensObject) -> list[dict[str, Any]]:
    """Build a table of all values, one line per token."""

    def at(place: int, values: list[float] | None) -> float | None:
        return None if values is None else values[place]

    return [
        {
            "token": place + 1,
            "text": "(end)" if _ends(tokens, place) else tokens["text"][place],
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
        default="advantage",
        required=True,
        disabled=disabled,
        key=f"{key}_measure",
    )


def show(tokens: TokensObject, *, measure: Measure) -> None:
    values = values_of(tokens, measure)
    if values is None:
        st.info(NO_TEACHER if tokens["logp_teacher"] is None else NOT_KEPT)
        return
    st.html(shaded(tokens) if measure == "weight" else coloured(tokens, values))
    contrasted = measure == "evidence" and tokens["logp_contrast"] is not None
    st.caption(f"{CONTRASTED if contrasted else MEANINGS[measure]} Hover over a token for its values.")


def compare_with_grpo(tokens: TokensObject, *, advantage: float, method: str) -> None:
    """Show the text twice, with even credit and with this method's credit, on one colour scale.

    `advantage`: of the completion; GRPO gives it to every token.
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
        "The verifier's verdict on the whole text is the same on both sides. GRPO gives every token the same credit; a "
        "teacher that knows the hint gives more of it to the tokens that decided the outcome."
    )
