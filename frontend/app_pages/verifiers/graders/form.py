"""The type of grader forms, and the parts that several share."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from frontend.api.types import Json

OUTPUT_TEXT = "{{sample.output_text}}"
ANSWER = "{{item.answer}}"
DEFAULT_RANGE = (0.0, 1.0)
PLACEHOLDERS = "{{item.column}} is replaced by a column of the row, {{sample.output_text}} by the model's answer."


@dataclass(frozen=True, slots=True)
class Form:
    """A form of one kind of grader.

    `draw(grader, key)` shows widgets filled from a grader and returns `fields` as edited, without those at their
    defaults. Other fields of a grader do not change.
    """

    draw: Callable[[Json, str], Json]
    fields: frozenset[str]

    def edited(self, grader: Json, key: str) -> Json:
        untouched = {name: value for name, value in grader.items() if name not in self.fields and name != "type"}
        return self.draw(grader, key) | untouched


def form(draw: Callable[[Json, str], Json], *fields: str) -> Form:
    return Form(draw, frozenset(fields))


def which_texts(grader: Json, key: str, *, compared: bool = True) -> Json:
    """Show which text is read and, if it is compared, with what. Folded, since the defaults nearly always fit."""
    with st.expander("Texts to compare", icon=":material/compare_arrows:"):
        text = st.text_input(
            "Text",
            grader.get("input", ""),
            placeholder="the model's answer",
            key=f"{key}_in",
            help=PLACEHOLDERS,
        )
        reference = (
            st.text_input(
                "Compare with",
                grader.get("reference") or "",
                placeholder="the row's reference answer",
                key=f"{key}_ref",
                help=PLACEHOLDERS,
            )
            if compared
            else ""
        )
    return {name: value for name, value in (("input", text.strip()), ("reference", reference.strip())) if value}


def score_range(grader: Json, key: str, *, help: str) -> tuple[float, float]:
    """Show the lowest and the highest score, as edited."""
    low, high = grader.get("range") or DEFAULT_RANGE
    left, right = st.columns(2)
    return (
        left.number_input("Lowest score", value=float(low), format="%g", key=f"{key}_low", help=help),
        right.number_input("Highest score", value=float(high), format="%g", key=f"{key}_high", help=help),
    )


def text_list(label: str, given: list[str], *, key: str, help: str) -> list[str]:
    """Show an editable list of short texts."""
    return st.multiselect(
        label, given, default=given, accept_new_options=True, placeholder="type one, press Enter", key=key, help=help
    )
