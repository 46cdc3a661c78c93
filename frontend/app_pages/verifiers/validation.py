"""Validation of the edited grader by the API, at each change."""

import re
from collections.abc import Mapping

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json, ValidateResponse
from frontend.components import rights
from frontend.widgets import problems
from frontend.words.field_names import in_form_words

KEPT = "validation_kept"
AROUND = 2
"""Lines shown before and after the faulty one."""
_LINE = re.compile(r"\bLine (\d+)(?:, column (\d+))?")


def show(client: Client, grader: Json) -> bool:
    """Show what is invalid, or the recognised signature of a program and remarks. True if valid.

    Requested once per draft. Viewers see nothing: a saved grader was valid when it was saved.
    """
    if rights.refusal(client) is not None:
        return True
    kept: tuple[Json, ValidateResponse | None, ApiError | None] | None = st.session_state.get(KEPT)
    if kept is None or kept[0] != grader:
        kept = (grader, *_validated(client, grader))
        st.session_state[KEPT] = kept
    _, found, error = kept
    if error is not None:
        _explain(error, grader)
        return False
    signature = found["x_signature"] if found else None
    if signature:
        st.caption(
            f":material/check_circle: `{signature['function']}` is called with {signature['title']}: "
            f"`{signature['shown']}`."
        )
    for remark in found["x_remarks"] if found else ():
        st.caption(f":material/info: {remark}")
    return True


def _validated(client: Client, grader: Json) -> tuple[ValidateResponse | None, ApiError | None]:
    try:
        return client.validate_grader(grader), None
    except ApiError as error:
        return None, error


def _explain(error: ApiError, grader: Json) -> None:
    if error.signed_out or error.status == 0 or error.status >= 500:
        problems.show(error)
        return
    text = error.message.removeprefix(f"'{error.param}': ") if error.param else error.message
    where = (error.param or "").removeprefix("grader.")
    st.warning(
        text,
        icon=":material/warning:",
        title=f"Not valid: {in_form_words(error.param or '')}" if where else "Not valid",
    )
    source, line = value_at(grader, where), _LINE.search(text)
    if isinstance(source, str) and line is not None:
        marked = marked_lines(source, line=int(line[1]), column=int(line[2]) if line[2] else None)
        st.code(marked, language=None)


def value_at(grader: Mapping[str, object], path: str) -> object:
    """Return the field that the API names, for instance `graders.a.source`; None if there is none."""
    value: object = grader
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def marked_lines(source: str, *, line: int, column: int | None) -> str:
    """Return the faulty line (from 1) with its neighbours, an arrow before it and a mark below the column."""
    lines = source.splitlines()
    first, last = max(1, line - AROUND), min(len(lines), line + AROUND)
    width = len(str(last))
    shown = []
    for number in range(first, last + 1):
        head = f"{'→' if number == line else ' '} {number:>{width}} "
        shown.append(head + lines[number - 1])
        if number == line and column:
            shown.append(" " * (len(head) + column - 1) + "^")
    return "\n".join(shown)
