"""The results of a job's checks before training, and whether a failed one was overridden."""

import streamlit as st

from frontend.api import Client
from frontend.api.types import JobObject
from frontend.components import check_matrix, check_references, check_verdict
from frontend.session import state
from frontend.widgets import problems
from frontend.words import units

TITLES = {"self_check": "Verifier self-check", "preflight": "Pre-flight"}
KEPT = "job_checks_kept"


def show(job: JobObject, client: Client) -> None:
    checks = job["x_checks"]
    overridden = checks["overridden_at"]
    for name, title in TITLES.items():
        found = checks["self_check"] if name == "self_check" else checks["preflight"]
        if found is None:
            continue
        _, color, icon = check_verdict.LOOKS[found["verdict"]]
        failed = found["verdict"] == "fail"
        with st.expander(
            f":{color}[{icon}] {title}", expanded=failed and job["x_progress"]["step"] == 0, key=f"job_{name}"
        ):
            check_verdict.show(found)
            if failed and overridden is not None:
                st.caption(
                    f"Trained anyway: a person overrode this result on {units.moment(overridden, state.zone())}."
                )
            if name == "self_check" and st.toggle("Show every tested text", key="job_self_check_texts"):
                _texts(job["id"], client)


def _texts(job_id: str, client: Client) -> None:
    """Show the details, read once."""
    kept = st.session_state.get(KEPT)
    if kept is None or kept[0] != job_id:
        with problems.shown():
            kept = (job_id, client.job_checks(job_id)["self_check"])
            st.session_state[KEPT] = kept
    if kept is not None and kept[0] == job_id and kept[1] is not None:
        check_matrix.show(kept[1], key="job_self_check_matrix")
        check_references.show(kept[1])
