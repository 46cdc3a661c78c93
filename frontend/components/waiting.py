"""What a worker does while a page waits: asked for once, looked at now and then, cancelled or kept with its result."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from frontend.client import ApiError, Client
from frontend.components import problems, rights
from frontend.shapes import Check, Json

POLL_S = 2.0
"""Seconds between two looks: what a live page may cost the API."""
WAITING = "Waiting for a worker…"


@dataclass(frozen=True, slots=True)
class Kept:
    """A check as last read, and what was asked; a finished one does not change."""

    check: Check
    asked: str

    @property
    def waiting(self) -> bool:
        return self.check["status"] in ("queued", "running")


def kept(key: str) -> Kept | None:
    """The check that was asked for last under this key."""
    found: Kept | None = st.session_state.get(key)
    return found


def busy(key: str) -> bool:
    found = kept(key)
    return found is not None and found.waiting


def keep(key: str, check: Check, *, of: object) -> None:
    st.session_state[key] = Kept(check, _fingerprint(of))


def ask(key: str, call: Callable[[], Check], *, of: object, refused: str) -> None:
    """Ask for a check and forget the one before. `of`: all that it depends on; `refused`: what to say above a no."""
    st.session_state.pop(key, None)
    try:
        check = call()
    except ApiError as error:
        problems.show(error, title=refused)
        return
    keep(key, check, of=of)
    st.rerun()


def result(
    client: Client,
    key: str,
    *,
    of: object,
    failed: str,
    stale: str,
    waiting: str = WAITING,
    in_turn: bool | None = None,
) -> Json | None:
    """What was found, once it is; until then how far it is, with a way to cancel, or why it failed.

    `stale`: said above a result that is of something else than `of`, as after a setting was changed. `in_turn`: on a
    page that is redrawn every two seconds anyway, whether this look may ask the API; None: it looks by itself.
    """
    found = kept(key)
    if found is None:
        return None
    if found.waiting:
        if in_turn is None:
            poll(lambda: _look(client, key, waiting=waiting))
            return None
        if not (_look(client, key, waiting=waiting) if in_turn else _drawn(client, key, found, waiting=waiting)):
            st.rerun()
        return None
    if found.check["status"] == "failed":
        error = found.check["error"] or {}
        if error.get("code") == "cancelled":
            st.caption(":material/cancel: Cancelled.")
        else:
            st.error(error.get("message", "It failed."), icon=":material/error:", title=failed)
        return None
    if found.asked != _fingerprint(of):
        st.caption(f":material/history: {stale}")
    return found.check["result"] or {}


def poll(look: Callable[[], bool]) -> None:
    """`look` now and every two seconds while it answers that there is more to wait for; then the whole page anew."""

    def turn() -> None:
        with problems.shown():
            if not look():
                st.rerun()

    st.fragment(turn, run_every=POLL_S)()


def bar(done: int, total: int, text: str) -> None:
    st.progress(min(1.0, done / max(1, total)), text=text)


def _look(client: Client, key: str, *, waiting: str) -> bool:
    found = kept(key)
    if found is None:
        return True
    found = Kept(client.check(found.check["id"]), found.asked)
    st.session_state[key] = found
    return _drawn(client, key, found, waiting=waiting) and found.waiting


def _drawn(client: Client, key: str, found: Kept, *, waiting: str) -> bool:
    """How far it is; False in the run in which somebody gives it up."""
    progress = found.check["progress"]
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            if progress is None:
                bar(0, 1, waiting)
            else:
                bar(
                    progress["done"],
                    progress["total"],
                    f"{progress['done']:,} of {progress['total']:,} {progress['unit']}",
                )
        if rights.button(client, "Cancel", icon=":material/close:", key=f"{key}_cancel"):
            _cancel(client, key, found)
            return False
    return True


def _cancel(client: Client, key: str, found: Kept) -> None:
    """409: it ended in the meantime, which the next look tells."""
    try:
        st.session_state[key] = Kept(client.cancel_check(found.check["id"]), found.asked)
    except ApiError as error:
        if error.status != 409:
            raise


def _fingerprint(of: object) -> str:
    return json.dumps(of, sort_keys=True)
