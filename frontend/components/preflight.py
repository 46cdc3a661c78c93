"""Before a job is started: the pre-flight and the teacher preview of what the form says, each at one click."""

import json
from dataclasses import dataclass

import streamlit as st

from frontend.client import ApiError, Client
from frontend.components import preflight_report, problems, prompts
from frontend.shapes import Check, Json

KEPT, SHOWN = "preflight_kept", "teacher_preview_kept"
POLL_S = 1.0
ROWS, SAMPLES = 16, 8
MOST_ROWS, MOST_SAMPLES = 256, 64
OF_THE_JOB = ("self_check_rows", "preflight_rows", "preflight_samples", "on_failed_check")
"""Settings that say what a job does before training: nothing that is tried here depends on them."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A check as last read, and what was asked; a finished one does not change."""

    asked: str
    check: Check

    @property
    def waiting(self) -> bool:
        return self.check["status"] in ("queued", "running")


def wanted_before_training(settings: Json) -> Json:
    """The settings, with a pre-flight before the first step where the box is ticked and they do not say already."""
    ticked = st.checkbox(
        "Run the pre-flight before training",
        key="preflight_first",
        help=f"The base model answers {ROWS} rows before the first step. Where nothing can be learned from them, the "
        "job waits for you instead of training. Nothing else about the job changes.",
    )
    return {"preflight_rows": ROWS, **settings} if ticked else settings


def panel(client: Client, job: Json, *, num_rows: int, ready: bool) -> None:
    """`job`: the body that would create it. `num_rows`: how many rows its dataset has."""
    said: Json = job["method"]["reinforcement"]
    settings = {name: value for name, value in said["x_rlsd"].items() if name not in OF_THE_JOB}
    trial = {"model": job["model"], "training_file": job["training_file"], "x_rlsd": settings}
    trial |= {"seed": job["seed"]} if "seed" in job else {}
    with st.expander(
        "Try before training", icon=":material/flight_takeoff:", expanded=bool({KEPT, SHOWN} & set(st.session_state))
    ):
        flight, preview = st.tabs(["Pre-flight", "Teacher preview"])
        with flight:
            _flight(client, trial | {"grader": said["grader"]}, ready=ready)
        with preview:
            _preview(client, trial, num_rows=num_rows, ready=ready)


def _flight(client: Client, trial: Json, *, ready: bool) -> None:
    st.caption(
        "The base model answers some rows, with the hint and without, and the verifier scores them: is there something "
        "to learn, does the hint help, how long will it take?"
    )
    kept: Kept | None = st.session_state.get(KEPT)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rows = st.number_input("Rows", 1, MOST_ROWS, ROWS, key="preflight_rows", width=120)
        samples = st.number_input("Completions a row", 1, MOST_SAMPLES, SAMPLES, key="preflight_samples", width=160)
        body = trial | {"rows": int(rows), "samples": int(samples)}
        waiting = kept is not None and kept.waiting
        if st.button("Pre-flight", icon=":material/flight_takeoff:", key="preflight_go", disabled=waiting or not ready):
            _fly(client, body)
            return
    if kept is None:
        return
    if kept.waiting:
        st.fragment(_wait, run_every=POLL_S)(client)
        return
    if kept.asked != _fingerprint(body):
        st.caption("What is below is of earlier settings.")
    if kept.check["status"] == "failed":
        message = (kept.check["error"] or {}).get("message", "It failed.")
        st.error(message, icon=":material/error:", title="The pre-flight could not be flown")
    else:
        preflight_report.show(kept.check["result"] or {}, key="preflight")


def _fly(client: Client, body: Json) -> None:
    st.session_state.pop(KEPT, None)
    with problems.shown():
        st.session_state[KEPT] = Kept(_fingerprint(body), client.preflight(body))
        st.rerun()


def _wait(client: Client) -> None:
    kept: Kept | None = st.session_state.get(KEPT)
    if kept is None:
        return
    with problems.shown():
        kept = Kept(kept.asked, client.check(kept.check["id"]))
        st.session_state[KEPT] = kept
    if not kept.waiting:
        st.rerun()
    progress = kept.check["progress"]
    if progress is None:
        st.progress(0.0, text="Waiting for a worker, then loading the model…")
    else:
        done, total = progress["done"], max(1, progress["total"])
        st.progress(min(1.0, done / total), text=f"{done:,} of {total:,} {progress['unit']}")


def _preview(client: Client, trial: Json, *, num_rows: int, ready: bool) -> None:
    st.caption("The prompts of a row, word for word: what the student reads, and what its teacher reads.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        row = st.number_input("Row", 0, max(0, num_rows - 1), 0, key="preview_row", width=120)
        body = trial | {"row": int(row)}
        if st.button("Show the prompts", icon=":material/visibility:", key="preview_go", disabled=not ready):
            st.session_state.pop(SHOWN, None)
            _ask_for_prompts(client, body)
    shown: Kept | None = st.session_state.get(SHOWN)
    if shown is None:
        return
    if shown.asked != _fingerprint(body):
        st.caption("What is below is of another row or of earlier settings.")
    prompts.show(shown.check["result"] or {}, key="preview")


def _ask_for_prompts(client: Client, body: Json) -> None:
    try:
        with st.spinner("Reading…"):
            check = client.teacher_preview(body)
    except ApiError as error:
        problems.show(error, title="The prompts could not be made")
        return
    if check["status"] == "done":
        st.session_state[SHOWN] = Kept(_fingerprint(body), check)
    else:
        st.info("The worker is busy, with a pre-flight perhaps: try again in a moment.", icon=":material/hourglass:")


def _fingerprint(body: Json) -> str:
    return json.dumps(body, sort_keys=True)
