"""What somebody has written and not saved, or been answered, so that it is there again when the browser is refreshed.

It lies in this process beside the sign-in (`sessions.py`) and goes with it: at sign-out, after `IDLE_S`, when the UI is
started anew. A page says what is kept; nothing else is, and no key. Who has no cookie has nothing kept.
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
"""Of one draft, as Python would write it; a longer one is not kept."""
MOST_DRAFTS = 500
"""Of all people; the longest untouched is forgotten first."""

Written = dict[str, Any]
"""Values by their keys in `st.session_state`."""


@dataclass(frozen=True, slots=True)
class Draft:
    written: Written
    at: float


class Drafts:
    """By session and by the page's name for what is written there. Thread-safe, as `Sessions`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._drafts: OrderedDict[tuple[str, str], Draft] = OrderedDict()

    def keep(self, session_id: str, name: str, written: Written) -> None:
        """In place of the one before; nothing written, or too much, leaves none."""
        now = time.monotonic()
        with self._lock:
            self._drafts.pop((session_id, name), None)
            if written and len(repr(written)) <= MOST_CHARACTERS:
                self._drafts[session_id, name] = Draft(deepcopy(written), now)
            while self._drafts and (len(self._drafts) > MOST_DRAFTS or self._oldest_at() < now - IDLE_S):
                self._drafts.popitem(last=False)

    def take(self, session_id: str, name: str) -> Written:
        """It is handed over: a page that it breaks is whole again when it is opened once more."""
        with self._lock:
            draft = self._drafts.pop((session_id, name), None)
        return {} if draft is None or draft.at < time.monotonic() - IDLE_S else draft.written

    def forget(self, session_id: str) -> None:
        with self._lock:
            for key in [key for key in self._drafts if key[0] == session_id]:
                del self._drafts[key]

    def _oldest_at(self) -> float:
        return next(iter(self._drafts.values())).at


drafts = Drafts()
"""Those of this process."""


def bring_back(name: str) -> None:
    """Before a page is drawn for the first time in this browser's window: what was written there before a refresh."""
    begun, session_id = _begun(name), st.session_state.get(SESSION)
    if begun in st.session_state or session_id is None:
        return
    written = drafts.take(session_id, name)
    st.session_state[begun] = {} if written else None
    st.session_state.update(written)
    if written:
        st.toast("What you had written here is there again.", icon=":material/history:")


def keep(name: str, written: Written) -> None:
    """After it was drawn: what is to be there again. A page as it was when it was opened is nothing written."""
    begun, session_id = _begun(name), st.session_state.get(SESSION)
    if session_id is None:
        return
    if st.session_state.get(begun) is None:
        st.session_state[begun] = deepcopy(written)
    drafts.keep(session_id, name, {} if written == st.session_state[begun] else written)


def forget(name: str) -> None:
    """It is saved, or wanted no more."""
    if session_id := st.session_state.get(SESSION):
        drafts.keep(session_id, name, {})
        st.session_state[_begun(name)] = None


def fields(*more: str) -> Written:
    """What stands in the fields that this run has drawn, and under the keys of `more`."""
    return kept_fields.drawn() | {key: st.session_state[key] for key in more if key in st.session_state}


def _begun(name: str) -> str:
    return f"unsaved_{name}"
