"""What a form is, and the pieces that several share."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from frontend.api.types import Json

OUTPUT_TEXT = "{{sample.output_text}}"
ANSWER = "{{item.answer}}"
PLACEHOLDERS = "{{item.column}} stands for a column of the row, {{sample.output_text}} for what the model wrote."


@dataclass(frozen=True, slots=True)
class Form:
    """`draw(grader, key)` shows widgets filled from a grader object and returns `fields` as edited, those left at
    their defaults left out. What a grader holds beside them stays as it is.
    """

    draw: Callable[[Json, str], Json]
    fields: frozenset[str]

    def edited(self, grader: Json, key: str) -> Json:
        untouched = {name: value for name, value in grader.items() if name not in self.fields and name != "type"}
        return self.draw(grader, key) | untouched


def form(draw: Callable[[Json, str], Json], *fields: str) -> Form:
    return Form(draw, frozenset(fields))


def which_texts(grader: Json, key: str, *, compared: bool = True) -> Json:
    """Which text is read and, where it is compared, with what. Folded in: the usual is nearly always meant."""
    with st.expander("Which texts", icon=":material/compare_arrows:"):
        text = st.text_input(
            "Text to read",
            grader.get("input", ""),
            placeholder="what the model wrote",
            key=f"{key}_in",
            help=PLACEHOLDERS,
        )
        reference = (
            st.text_input(
                "Compared with",
                grader.get("reference") or "",
                placeholder="the row's reference answer",
                key=f"{key}_ref",
                help=PLACEHOLDERS,
            )
            if compared
            else ""
        )
    return {name: value for name, value in (("input", text.strip()), ("reference", reference.strip())) if value}


def words(label: str, given: list[str], *, key: str, help: str) -> list[str]:
    """A list of short texts that grows as one types."""
    return st.multiselect(
        label, given, default=given, accept_new_options=True, placeholder="type one, press Enter", key=key, help=help
    )
