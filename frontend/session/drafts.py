"""Unsaved input and answers, so that a page still has them after the browser is refreshed.

Drafts are kept in this process next to the sign-in (`browser_sessions.py`) and are lost with it: at sign-out, after
`IDLE_S`, when the UI restarts. A page names what is kept; no key is. Without a cookie nothing is kept.
"""

import threading
import time
from collections import OrderedDict
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import streamlit as st

from frontend.session import kept_fields
from frontend.session.browser_sessions import IDLE_S, SESSION

MOST_CHARACTERS = 200_000
"""Limit of one draft, in characters of its `repr`; a longer one is not kept."""
MOST_DRAFTS = 500
"""Limit over all sessions; the least recently changed are evicted."""

Values = dict[str, Any]
"""Values by their key in `st.session_state`."""


@dataclass(frozen=True, slots=True)
class Draft:
    values: Values
    at: float


class Drafts:
    """Drafts by session and name. Thread-safe, like `Sessions`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._drafts: OrderedDict[tuple[str, str], Draft] = OrderedDict()

    def keep(self, session_id: str, name: str, values: Values) -> None:
        """Replace the draft of this name; empty or too long values delete it."""
        now = time.monotonic()
        with self._lock:
            self._drafts.pop((session_id, name), None)
            if values and len(repr(values)) <= MOST_CHARACTERS:
                self._drafts[session_id, name] = Draft(deepcopy(values), now)
            while self._drafts and (len(self._drafts) > MOST_DRAFTS or self._oldest_at() < now - IDLE_S):
                self._drafts.popitem(last=False)

    def take(self, session_id: str, name: str) -> Values:
        """Return the draft and delete it: a page that a draft breaks works again when it is reopened."""
        with self._lock:
            draft = self._drafts.pop((session_id, name), None)
        return {} if draft is None or draft.at < time.monotonic() - IDLE_S else draft.values

    def forget(self, session_id: str) -> None:
        with self._lock:
            for key in [key for key in self._drafts if key[0] == session_id]:
                del self._drafts[key]

    def _oldest_at(self) -> float:
        return next(iter(self._drafts.values())).at


drafts = Drafts()
"""The drafts of this process, next to its sessions."""


def restore(name: str) -> None:
    """Restore what was written before a refresh. Call before a page is drawn for the first time in a window."""
    initial, session_id = _initial_key(name), st.session_state.get(SESSION)
    if initial in st.session_state or session_id is None:
        return
    values = drafts.take(session_id, name)
    st.session_state[initial] = {} if values else None
    st.session_state.update(values)
    if values:
        st.toast("Your unsaved input was restored.", icon=":material/history:")


def keep(name: str, values: Values) -> None:
    """Keep the values of a page after it was drawn. Values equal to those at its opening are no draft."""
    initial, session_id = _initial_key(name), st.session_state.get(SESSION)
    if session_id is None:
        return
    if st.session_state.get(initial) is None:
        st.session_state[initial] = deepcopy(values)
    drafts.keep(session_id, name, {} if values == st.session_state[initial] else values)


def forget(name: str) -> None:
    """Delete a draft that was saved or discarded."""
    if session_id := st.session_state.get(SESSION):
        drafts.keep(session_id, name, {})
        st.session_state[_initial_key(name)] = None


def fields(*more: str) -> Values:
    """Return the values of the fields that this run has drawn, and those under the keys of `more`."""
    return kept_fields.rendered() | {key: st.session_state[key] for key in more if key in st.session_state}


def _initial_key(name: str) -> str:
    return f"unsaved_{name}"
