"""Trying a verifier, saved or not, on many rows at once: is it fit to train with?"""

import streamlit as st

from frontend.api import Client
from frontend.api.types import CheckVerdict, Json
from frontend.components import check_matrix, check_progress, check_verdict, rights, row_choice

MOST, USUAL = 64, 8


def panel(client: Client, grader: Json, *, verifier: str) -> None:
    """`verifier`: the one that the page is of, whose rule `grader` is or may become."""
    st.subheader("Is it fit to train with?", anchor=False)
    st.caption(
        "Right answers in many forms must get full marks; silence, noise, other rows' answers and lists of everything "
        "must not. The same is tried before every job."
    )
    files = client.datasets()
    if not files:
        st.info("This takes rows of a dataset: upload one first.", icon=":material/inbox:")
        return
    key = f"self_check_{verifier}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = row_choice.dataset(files, label="On rows of", key="check_dataset", like=row_choice.OF_A_VERIFIER)
        rows = int(st.number_input("Rows", 1, MOST, USUAL, key="check_rows", width=120))
        check_progress.find(client, key, kind="self_check", like={"grader": grader}, file=chosen["id"])
        go = rights.button(
            client, "Check the verifier", icon=":material/verified:", key="check_go", disabled=check_progress.busy(key)
        )
    if go:
        check_progress.ask(key, lambda: client.self_check(grader, file=chosen["id"], rows=rows), refused="Not checked")
    found = check_progress.result(
        client,
        key,
        of={"grader": grader, "file": chosen["id"]},
        failed="Not checked",
        stale="The verdict below is of an earlier version, or of other data.",
    )
    if found:
        _result(found)


def _result(found: Json) -> None:
    with st.container(border=True, key="self_check_result"):
        common: CheckVerdict = {name: found[name] for name in ("verdict", "summary", "findings")}  # type: ignore[assignment]
        check_verdict.show(common)
        check_matrix.show(found, key="self_check_matrix")
