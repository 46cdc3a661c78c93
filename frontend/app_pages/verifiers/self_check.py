"""The self-check of a verifier, saved or not, on many rows: is it ready for training?"""

from typing import cast

import streamlit as st

from frontend.api import Client
from frontend.api.types import Json, SelfCheckResult
from frontend.components import (
    check_matrix,
    check_progress,
    check_references,
    check_verdict,
    rights,
    row_choice,
)

MOST, USUAL = 64, 8


def panel(client: Client, grader: Json, *, verifier: str) -> None:
    """Show the self-check. `verifier`: the page's verifier, of which `grader` is a version or a draft."""
    st.subheader("Is it ready for training?", anchor=False)
    st.caption(
        "Right answers in many forms must get the full score. Empty texts, noise, other rows' answers, lists of all "
        "answers and altered right answers (another digit, sign or unit) must not. The same check runs before every "
        "job."
    )
    files = client.datasets()
    if not files:
        st.info("This needs a dataset. Upload one first.", icon=":material/inbox:")
        return
    key = f"self_check_{verifier}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = row_choice.dataset(files, label="Dataset", key="check_dataset", like=row_choice.OF_A_VERIFIER)
        rows = int(st.number_input("Rows", 1, MOST, USUAL, key="check_rows", width=120))
        check_progress.find(client, key, kind="self_check", like={"grader": grader}, file=chosen["id"])
        go = rights.button(
            client, "Check verifier", icon=":material/verified:", key="check_go", disabled=check_progress.busy(key)
        )
    if go:
        check_progress.start(
            key, lambda: client.self_check(grader, file=chosen["id"], rows=rows), refused="The check was not started"
        )
    found = check_progress.result(
        client,
        key,
        of={"grader": grader, "file": chosen["id"]},
        notes=check_progress.Notes(
            failed="The check failed", stale="The verdict below is of an earlier draft or of other data."
        ),
    )
    if found:
        _result(cast("SelfCheckResult", found))


def _result(found: SelfCheckResult) -> None:
    with st.container(border=True, key="self_check_result"):
        check_verdict.show(found)
        check_matrix.show(found, key="self_check_matrix")
        check_references.show(found)
