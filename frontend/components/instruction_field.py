"""The instruction to the model: a text, with templates to start from."""

import streamlit as st

from frontend.api.types import Json
from frontend.words.instructions import Template, fitting, templates
from frontend.words.job_settings import ASKING, facts_of

(SETTING,) = ASKING


def show(grader: Json, *, schema: Json, key: str) -> Json:
    """Show the field; return the setting, empty if nothing is written. `grader`: of the chosen verifier."""
    about, offered, fits = facts_of(schema, SETTING.name), templates(grader), fitting(grader)
    written, chosen = f"{key}_{SETTING.name}", f"{key}_template"
    with st.container(border=True):
        left, right = st.columns([3, 1])
        right.selectbox(
            "Start from a template",
            sorted(offered, key=lambda name: name != fits),
            index=None,
            format_func=lambda name: offered[name].title + (" (suggested)" if name == fits else ""),
            placeholder="none",
            key=chosen,
            on_change=_fill,
            args=(offered, written, chosen),
            help="Replaces the text. The suggested one asks for the form that the chosen verifier reads.",
        )
        text = left.text_area(
            f"{SETTING.label} (optional)",
            max_chars=about.longest,
            height=90,
            placeholder="Nothing: the model gets only the row's own messages.",
            key=written,
            help=f"{about.description}\n\n**Why none:** {SETTING.why}",
        ).strip()
    return {SETTING.name: text} if text else {}


def _fill(offered: dict[str, Template], written: str, chosen: str) -> None:
    name = st.session_state[chosen]
    if name is not None:
        st.session_state[written] = offered[name].text
