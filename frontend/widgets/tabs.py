"""The buttons that choose a part of a page, and the address that names it (`?view=Events`)."""

from collections.abc import Callable, Sequence
from urllib.parse import parse_qs

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx


def choice(label: str, parts: Sequence[str], *, key: str = "view", on_change: Callable[[], None] | None = None) -> str:
    """The chosen one of `parts`; the first unless the address names another.

    The address wins over the buttons where they say the first part and it names another. A press sets both at once in
    the browser, so they can differ only after a break of the connection: then Streamlit (1.67) may mount the buttons
    anew and tell their default as if somebody had pressed it.
    """
    first = parts[0]
    named = _named(key)
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
    """What the browser's address said when it asked for this run; `st.query_params` is older in a fragment's run."""
    context = get_script_run_ctx()
    return parse_qs(context.query_string).get(key, [None])[0] if context else None
