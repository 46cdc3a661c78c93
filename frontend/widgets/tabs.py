"""Buttons that choose a part of a page, bound to the address (`?view=Events`)."""

from collections.abc import Callable, Sequence
from urllib.parse import parse_qs

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx


def choice(
    label: str, parts: Sequence[str], *, of: str, key: str = "view", on_change: Callable[[], None] | None = None
) -> str:
    """Return the chosen part: the first unless the address names another. `of`: what the parts belong to.

    Streamlit keeps the choice on other pages too, so another job or model would open on a part chosen for the last.

    The address wins if the buttons are on the first part and it names another. A click sets both at once in the
    browser, so they differ only after a broken connection: Streamlit (1.67) may then mount the buttons again and report
    their default as if it had been clicked.
    """
    first = parts[0]
    named = _named(key)
    if st.session_state.get(f"{key}_of") != of:
        if named is None:
            st.session_state.pop(key, None)
        st.session_state[f"{key}_of"] = of
    lost = st.session_state.get(key) == first and named in parts and named != first
    if lost:
        st.session_state[key] = named
    chosen = st.segmented_control(
        label,
        parts,
        default=None if lost else first,  # Streamlit wants either a default or a value
        required=True,
        label_visibility="collapsed",
        key=key,
        bind="query-params",
        on_change=on_change,
    )
    return chosen or first


def _named(key: str) -> str | None:
    """Return `key` from the address at the time of this run's request; in a fragment `st.query_params` is older."""
    context = get_script_run_ctx()
    return parse_qs(context.query_string).get(key, [None])[0] if context else None
