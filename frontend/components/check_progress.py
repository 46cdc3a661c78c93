"""Checks that a page waits for: started once, polled, cancelled, or kept with their result.

A check runs on if the page is closed, so a refreshed page finds it again (`find`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import CheckObject, CheckProgress, Json
from frontend.components import rights
from frontend.session import state
from frontend.widgets import problems
from frontend.words import units
from frontend.words.field_names import in_form_words
from frontend.words.markdown import sentence

POLL_S = 2.0
"""Poll interval of a live page, in seconds."""
WAITING = "Waiting for a worker…"
NEWEST = 20
"""Number of the newest checks of a kind among which `find` searches."""


@dataclass(frozen=True, slots=True)
class CachedCheck:
    """A check as last read; a finished one does not change. `found`: whether it was started elsewhere."""

    check: CheckObject
    found: bool = False

    @property
    def waiting(self) -> bool:
        return self.check["status"] in ("queued", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a page says of a check: the title if it `failed`, a note above a `stale` result, a line while `waiting`."""

    failed: str
    stale: str
    waiting: str = WAITING


def cached(key: str) -> CachedCheck | None:
    """Return the latest check of this key."""
    check: CachedCheck | None = st.session_state.get(key)
    return check


def busy(key: str) -> bool:
    check = cached(key)
    return check is not None and check.waiting


def find(client: Client, key: str, *, kind: str, like: Json, file: str | None = None, job: str | None = None) -> int:
    """Find the newest check of this kind on a file or job whose request contains `like`, unless this page started one.

    Searches once per `like`, file and job. Returns the number of requests that this took.
    """
    searched, wanted, known = f"{key}_looked_for", (like, file, job), cached(key)
    if st.session_state.get(searched) == wanted or (known is not None and not known.found):
        return 0
    st.session_state[searched] = wanted
    st.session_state.pop(key, None)
    newest = client.checks(kind=kind, file=file, job=job, limit=NEWEST)
    found = next((check for check in newest if _requested_with(check, like)), None)
    if found is None:
        return 1
    st.session_state[key] = CachedCheck(client.check(found["id"]), found=True)
    return 2


def start(key: str, call: Callable[[], CheckObject], *, refused: str) -> None:
    """Start a check in place of the previous one. `refused`: the title of an error."""
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
    notes: Notes,
    may_request: bool | None = None,
) -> Json | None:
    """Return the result once there is one; until then show the progress with a cancel button, or why it failed.

    `of`: the request as the page would make it now, which may differ from that of the result. `may_request`: on a page
    that is redrawn every two seconds anyway, whether this run may call the API; None: poll in a fragment.
    """
    found = cached(key)
    if found is None:
        return None
    if found.found:
        started_at = units.moment(found.check["created_at"], state.zone())
        st.caption(f":material/history: Started {started_at} by you or another member of your project.")
    if found.waiting:
        if may_request is None:
            poll(lambda: _refresh(client, key, waiting=notes.waiting))
            return None
        draw = (
            _refresh(client, key, waiting=notes.waiting)
            if may_request
            else _draw(client, key, found, waiting=notes.waiting)
        )
        if not draw:
            st.rerun()
        return None
    if found.check["status"] == "failed":
        error = found.check["error"]
        if error and error["code"] == "cancelled":
            st.caption(":material/cancel: Cancelled.")
        else:
            st.error(
                sentence(in_form_words(error["message"])) if error else "The check failed.",
                icon=":material/error:",
                title=notes.failed,
            )
        return None
    if not _requested_with(found.check, of):
        st.caption(f":material/history: {notes.stale}")
    return found.check["result"] or {}


def poll(refresh: Callable[[], bool]) -> None:
    """Call `refresh` now and every two seconds while it returns True; then rerun the page."""

    def fragment() -> None:
        with problems.shown():
            if not refresh():
                st.rerun()

    st.fragment(fragment, run_every=POLL_S)()


def check_bar(progress: CheckProgress) -> None:
    """Show the progress of a check; a total of 0 is not known yet."""
    done, total, unit = progress["done"], progress["total"], progress["unit"]
    bar(done, total, f"{done:,} of {total:,} {unit}" if total else "Started…")


def bar(done: int, total: int, text: str) -> None:
    st.progress(units.share(done, total), text=text)


def _refresh(client: Client, key: str, *, waiting: str) -> bool:
    found = cached(key)
    if found is None:
        return True
    found = replace(found, check=client.check(found.check["id"]))
    st.session_state[key] = found
    return _draw(client, key, found, waiting=waiting) and found.waiting


def _draw(client: Client, key: str, found: CachedCheck, *, waiting: str) -> bool:
    """Show the progress. False in the run in which the check is cancelled."""
    progress = found.check["progress"]
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            if progress is None:
                bar(0, 1, waiting)
            else:
                check_bar(progress)
        if rights.button(client, "Cancel", icon=":material/close:", key=f"{key}_cancel"):
            _cancel(client, key, found)
            return False
    return True


def _cancel(client: Client, key: str, found: CachedCheck) -> None:
    """Cancel the check. 409: it has ended meanwhile, which the next refresh shows."""
    try:
        st.session_state[key] = replace(found, check=client.cancel_check(found.check["id"]))
    except ApiError as error:
        if error.status != 409:
            raise


def _requested_with(check: CheckObject, of: Json) -> bool:
    """Report whether the check's request contains `of`, compared as JSON."""
    request = check["asked"] or {}
    return all(name in request and request[name] == value for name, value in json.loads(json.dumps(of)).items())
