"""The instruction to the model: a text, with templates to start from, and rows as examples."""

import json

import streamlit as st

from frontend.api import Client
from frontend.api.types import InstructionObject, InstructionsObject, Json
from frontend.words.job_settings import ASKING, facts_of

(SETTING,) = ASKING
MAX_EXAMPLES = 8


def show(client: Client, grader: Json, *, file: str, schema: Json, key: str) -> Json:
    """Show the field; return the settings, empty if nothing is written and no example is wished.

    `grader`: of the chosen verifier. `file`: from whose rows examples are drawn.
    """
    about = facts_of(schema, SETTING.name)
    written, chosen = f"{key}_{SETTING.name}", f"{key}_template"
    with st.container(border=True):
        left, right = st.columns([3, 1])
        count = right.number_input(
            "Rows as examples",
            0,
            MAX_EXAMPLES,
            0,
            key=f"{key}_examples",
            help="Short rows of the dataset, with their worked solution or answer, at the end of the instruction. They "
            "are neither trained nor measured on.",
        )
        found = _suggested(client, json.dumps(grader, sort_keys=True), file=file, examples=int(count))
        offered = {each["code"]: each for each in found["data"]}
        right.selectbox(
            "Start from a template",
            list(offered),
            index=None,
            format_func=lambda code: offered[code]["title"] + (" (suggested)" if offered[code]["fits"] else ""),
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
        if found["example_rows"]:
            with left.expander("The examples"):
                st.text(found["examples"])
        elif count:
            left.caption("No row is short enough to be an example, or none has an answer.")
    if not found["example_rows"]:
        return {SETTING.name: text} if text else {}
    return {SETTING.name: "\n\n".join(filter(None, (text, found["examples"]))), "example_rows": found["example_rows"]}


@st.cache_data(ttl=600, show_spinner=False)
def _suggested(_client: Client, grader: str, *, file: str, examples: int) -> InstructionsObject:
    """Ask the API once for the same grader (as JSON), file and number of examples."""
    return _client.instructions(json.loads(grader), file=file, examples=examples)


def _fill(offered: dict[str, InstructionObject], written: str, chosen: str) -> None:
    code = st.session_state[chosen]
    if code is not None:
        st.session_state[written] = offered[code]["text"]
