"""Field values that survive a run which could not draw its page, for instance while the service is down.

Streamlit (1.67) forgets fields that a complete run did not draw, and a browser that draws a field again starts with its
default. So an interrupted page stops its run, which makes Streamlit keep the values, and the next run sets them.
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
"""Kinds of widgets that a program may set: not buttons, files or components."""


def keep() -> None:
    """Remember the field values and stop the run, after a page could not be drawn."""
    st.session_state[KEPT] = {**st.session_state.get(KEPT, {}), **_values()}
    st.stop()


def restore() -> None:
    """Set the values that `keep` remembered. Call before a page is drawn."""
    for key, value in st.session_state.pop(KEPT, {}).items():
        st.session_state[key] = value


def rendered() -> dict[str, Any]:
    """Return the values of the fields that this run has drawn."""
    context = get_script_run_ctx()
    assert context is not None, "pages are run by Streamlit"
    return _values(context.shared.widget_ids_this_run.snapshot())


def _values(among: Container[str] | None = None) -> dict[str, Any]:
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
