"""What a worker does while a page waits: asked for once, looked at now and then, cancelled or kept with its result.

It goes on whatever becomes of the page, so a page that was refreshed finds it again (`find`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Check, Json
from frontend.components import rights
from frontend.session import state
from frontend.widgets import problems
from frontend.words import units

POLL_S = 2.0
"""Seconds between two looks: what a live page may cost the API."""
WAITING = "Waiting for a worker…"
NEWEST = 20
"""Checks of a kind among which a page looks for one of its own."""


@dataclass(frozen=True, slots=True)
class CachedCheck:
    """A check as last read; a finished one does not change. `found`: it was not asked for on this page."""

    check: Check
    found: bool = False

    @property
    def waiting(self) -> bool:
        return self.check["status"] in ("queued", "running")


def kept(key: str) -> CachedCheck | None:
    """The check that was asked for last under this key."""
    found: CachedCheck | None = st.session_state.get(key)
    return found


def busy(key: str) -> bool:
    found = kept(key)
    return found is not None and found.waiting


def find(client: Client, key: str, *, kind: str, like: Json, file: str | None = None, job: str | None = None) -> int:
    """Where none was asked for on this page: the newest of this kind about the file or job that was asked for with what
    `like` says, by whomever. It is looked for once for each. Returns how many requests that took.
    """
    looked_for, wanted, known = f"{key}_looked_for", (like, file, job), kept(key)
    if st.session_state.get(looked_for) == wanted or (known is not None and not known.found):
        return 0
    st.session_state[looked_for] = wanted
    st.session_state.pop(key, None)
    newest = client.checks(kind=kind, file=file, job=job, limit=NEWEST)
    found = next((check for check in newest if _says(check, like)), None)
    if found is None:
        return 1
    st.session_state[key] = CachedCheck(client.check(found["id"]), found=True)
    return 2


def ask(key: str, call: Callable[[], Check], *, refused: str) -> None:
    """Ask for a check and forget the one before. `refused`: what to say above a no."""
    st.session_state.pop(key, None)
    try:
        check = call()
    except ApiError as error:
        problems.show(error, title=refused)
        return
    st.session_state[key] = CachedCheck(check)
    st.rerun()


def result(
    client: Client,
    key: str,
    *,
    of: Json,
    failed: str,
    stale: str,
    waiting: str = WAITING,
    in_turn: bool | None = None,
) -> Json | None:
    """What was found, once it is; until then how far it is, with a way to cancel, or why it failed.

    `stale`: said above a result that was asked for with something else than `of`, as after a setting was changed.
    `in_turn`: on a page that is redrawn every two seconds anyway, whether this look may ask the API; None: it looks by
    itself.
    """
    found = kept(key)
    if found is None:
        return None
    if found.found:
        asked_at = units.moment(found.check["created_at"], state.zone())
        st.caption(f":material/history: Asked for {asked_at}, by you or somebody else of your project.")
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
    if not _says(found.check, of):
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
    found = replace(found, check=client.check(found.check["id"]))
    st.session_state[key] = found
    return _drawn(client, key, found, waiting=waiting) and found.waiting


def _drawn(client: Client, key: str, found: CachedCheck, *, waiting: str) -> bool:
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


def _cancel(client: Client, key: str, found: CachedCheck) -> None:
    """409: it ended in the meantime, which the next look tells."""
    try:
        st.session_state[key] = replace(found, check=client.cancel_check(found.check["id"]))
    except ApiError as error:
        if error.status != 409:
            raise


def _says(check: Check, of: Json) -> bool:
    """Whether it was asked for with this, compared as it was sent."""
    asked = check["asked"] or {}
    return all(name in asked and asked[name] == value for name, value in json.loads(json.dumps(of)).items())
