"""What was written on a page outlives a run that could not draw it, as while the service is away.

Streamlit (1.67) forgets fields that a whole run did not draw, and a browser that draws a field again begins with its
default. So a page that is cut off stops its run, which makes Streamlit keep what it knows, and the next one sets it.
"""

from collections.abc import Container
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

KEPT = "fields_of_a_page_cut_off"
SETTABLE = {
    "bool_value",
    "double_array_value",
    "double_value",
    "int_array_value",
    "int_value",
    "string_array_value",
    "string_value",
}
"""Kinds of widgets that a program may fill: not buttons, files or components."""


def keep() -> None:
    """Note what stands in the fields and stop; the page could not be drawn."""
    st.session_state[KEPT] = {**st.session_state.get(KEPT, {}), **_written()}
    st.stop()


def fill() -> None:
    """Before a page is drawn: put back what `keep` noted."""
    for key, value in st.session_state.pop(KEPT, {}).items():
        st.session_state[key] = value


def drawn() -> dict[str, Any]:
    """What stands in the fields that this run has drawn."""
    context = get_script_run_ctx()
    assert context is not None, "pages are run by Streamlit"
    return _written(context.shared.widget_ids_this_run.snapshot())


def _written(among: Container[str] | None = None) -> dict[str, Any]:
    context = get_script_run_ctx()
    assert context is not None, "pages are run by Streamlit"
    known = context.session_state._state
    kinds = known._new_widget_state.widget_metadata
    return {
        key: st.session_state[key]
        for widget, key in known._key_id_mapper.id_key_mapping.items()
        if widget in kinds and kinds[widget].value_type in SETTABLE and key in st.session_state
        if among is None or widget in among
    }
