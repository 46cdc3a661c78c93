"""The verifier editor: a form per kind, or JSON, validated by the API at each change."""

import json
from dataclasses import dataclass

import streamlit as st

from frontend.api import Client
from frontend.api.types import Json
from frontend.app_pages.verifiers import pattern_matches, validation
from frontend.app_pages.verifiers.graders.forms import FORMS
from frontend.app_pages.verifiers.graders.texts import pattern_problem
from frontend.widgets import code_field
from frontend.words.verifier_kinds import KIND_HELP, KINDS

AS_JSON = "Edit as JSON"


@dataclass(frozen=True, slots=True)
class _Draft:
    """Initial state of the widgets. `turn` counts the switches between form and JSON, each with new widgets."""

    grader: Json
    turn: int = 0
    as_json: bool = False


def fields(client: Client, grader: Json, *, key: str) -> Json:
    """Show the editor, filled from `grader`; return the edited object. `key` separates the drafts of verifiers."""
    kept, toggle = f"{key}_draft", f"{key}_as_json"
    if kept not in st.session_state:
        st.session_state[kept] = st.session_state.pop(f"{key}_written", _Draft(grader))
        st.session_state[toggle] = st.session_state[kept].as_json
    elif toggle not in st.session_state:  # the page was reopened
        st.session_state[kept] = _Draft(grader)
    draft: _Draft = st.session_state[kept]
    show = _as_json if draft.as_json else _as_form
    edited = show(draft.grader, f"{key}_{draft.turn}")
    as_json = st.toggle(AS_JSON, key=toggle, help="For fields that the form does not show.")
    if as_json != draft.as_json:
        st.session_state[kept] = _Draft(edited, draft.turn + 1, as_json)
        st.rerun()
    st.session_state[f"{key}_written"] = _Draft(edited, as_json=as_json)
    _validate(client, edited)
    return edited


def written(key: str) -> dict[str, object]:
    """Return the draft of this key, from which new fields start, as on a refreshed page."""
    return {(name := f"{key}_written"): st.session_state[name]}


def _as_form(grader: Json, key: str) -> Json:
    given = str(grader.get("type"))
    kinds = list(dict.fromkeys([*KINDS, *([given] if given in FORMS else [])]))
    kind = st.selectbox(
        "Kind",
        kinds,
        index=kinds.index(given) if given in kinds else 0,
        format_func=lambda kind: KINDS.get(kind, kind),
        key=f"{key}_kind",
    )
    st.caption(KIND_HELP.get(kind, ""))
    same = {name: value for name, value in grader.items() if name != "error_counts_as_zero"} if given == kind else {}
    edited = FORMS[kind].edited(same, f"{key}_{kind}")
    zero = st.checkbox(
        "An error counts as 0",
        value=bool(grader.get("error_counts_as_zero")),
        key=f"{key}_{kind}_zero",
        help="As at OpenAI. Off: completions on which the verifier fails are left out and counted as errors.",
    )
    return {"type": kind, **edited} | ({"error_counts_as_zero": True} if zero else {})


def _as_json(grader: Json, key: str) -> Json:
    """Show the whole object as JSON, which the API validates."""
    text = code_field.field(
        "Fields", json.dumps(grader, indent=2, ensure_ascii=False), language="json", key=f"{key}_json", height_px=420
    )
    try:
        edited = json.loads(text)
    except ValueError as error:
        st.warning(f"This is not valid JSON: {error}", icon=":material/warning:")
        return grader
    if not isinstance(edited, dict):
        st.warning("A verifier must be a JSON object: { … }.", icon=":material/warning:")
        return grader
    return edited


def _validate(client: Client, grader: Json) -> None:
    if grader.get("type") == "regex" and pattern_problem(str(grader.get("pattern"))):
        return  # shown next to the pattern
    if validation.show(client, grader) and grader.get("type") == "regex":
        pattern_matches.show(client, grader, text=str(st.session_state.get("try_text", "")))
