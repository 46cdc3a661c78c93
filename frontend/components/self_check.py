"""Trying a verifier, saved or not, on many rows at once: is it fit to train with?"""

import json
from dataclasses import dataclass

import streamlit as st

from frontend.client import ApiError, Client
from frontend.components import check_matrix, check_verdict, problems
from frontend.shapes import Check, CheckVerdict, Json

KEPT = "self_check_kept"
POLL_S = 0.7
MOST, USUAL = 64, 8


@dataclass(frozen=True, slots=True)
class Kept:
    """The check that was asked for last, and of what."""

    check: Check
    asked: str

    @property
    def waiting(self) -> bool:
        return self.check["status"] in ("queued", "running")


def panel(client: Client, grader: Json) -> None:
    st.subheader("Is it fit to train with?", anchor=False)
    st.caption(
        "Right answers in many forms must get full marks; silence, noise, other rows' answers and lists of everything "
        "must not. The same is tried before every job."
    )
    files = client.datasets()
    if not files:
        st.info("This takes rows of a dataset: upload one first.", icon=":material/inbox:")
        return
    names = {file["id"]: file["filename"] for file in files}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        file = st.selectbox("On rows of", list(names), format_func=names.__getitem__, key="check_dataset", width=320)
        rows = st.number_input("Rows", 1, MOST, USUAL, key="check_rows", width=120)
        kept: Kept | None = st.session_state.get(KEPT)
        busy = kept is not None and kept.waiting
        if st.button("Check the verifier", icon=":material/verified:", key="check_go", disabled=busy):
            _ask(client, grader, file=file, rows=int(rows))
            return
    if kept is None:
        return
    if kept.waiting:
        st.fragment(_wait, run_every=POLL_S)(client)
        return
    if kept.asked != _fingerprint(grader, file):
        st.caption("The verdict below is of an earlier version, or of other data.")
    _result(kept.check)


def _ask(client: Client, grader: Json, *, file: str, rows: int) -> None:
    st.session_state.pop(KEPT, None)
    try:
        check = client.self_check(grader, file=file, rows=rows)
    except ApiError as error:
        problems.show(error, title="Not checked")
        return
    st.session_state[KEPT] = Kept(check, _fingerprint(grader, file))
    st.rerun()


def _wait(client: Client) -> None:
    """Look again each time it is drawn; when the check has ended the whole page is."""
    kept: Kept = st.session_state[KEPT]
    try:
        kept = Kept(client.check(kept.check["id"]), kept.asked)
    except ApiError as error:
        problems.show(error)
        return
    st.session_state[KEPT] = kept
    if not kept.waiting:
        st.rerun()
    progress = kept.check["progress"]
    share = progress["done"] / max(1, progress["total"]) if progress else 0.0
    st.progress(
        share, text="Waiting for a worker…" if progress is None else f"row {progress['done']} of {progress['total']}"
    )


def _result(check: Check) -> None:
    if check["status"] == "failed":
        st.error((check["error"] or {}).get("message", "It failed."), title="Not checked", icon=":material/error:")
        return
    found: Json = check["result"] or {}
    with st.container(border=True, key="self_check_result"):
        common: CheckVerdict = {name: found[name] for name in ("verdict", "summary", "findings")}  # type: ignore[assignment]
        check_verdict.show(common)
        check_matrix.show(found, key="self_check_matrix")


def _fingerprint(grader: Json, file: str) -> str:
    return json.dumps([grader, file], sort_keys=True)
