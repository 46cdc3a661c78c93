"""Before a job is started: the pre-flight and the teacher preview of what the form says, each at one click."""

import streamlit as st

from frontend.api import Client
from frontend.api.types import Json
from frontend.components import check_progress, prompts, rights
from frontend.pages.new_job import preflight_report

REFUSED = "The pre-flight could not be flown"
KEPT, SHOWN = "preflight_kept", "teacher_preview_kept"
ROWS, SAMPLES = 16, 8
MOST_ROWS, MOST_SAMPLES = 256, 64
OF_THE_JOB = ("self_check_rows", "preflight_rows", "preflight_samples", "on_failed_check")
"""Settings that say what a job does before training: nothing that is tried here depends on them."""


def flown() -> str | None:
    """The id of the pre-flight whose report is shown."""
    found = check_progress.kept(KEPT)
    return found.check["id"] if found is not None and found.check["status"] == "done" else None


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
    trial = {name: job[name] for name in ("model", "training_file")} | {"grader": said["grader"], "x_rlsd": settings}
    trial |= {"seed": job.get("seed", 0)}
    for key, kind in ((KEPT, "preflight"), (SHOWN, "teacher_preview")):
        like = {name: trial[name] for name in ("model", "grader")}
        check_progress.find(client, key, kind=kind, like=like, file=trial["training_file"])
    with st.expander(
        "Try before training", icon=":material/flight_takeoff:", expanded=bool({KEPT, SHOWN} & set(st.session_state))
    ):
        flight, preview = st.tabs(["Pre-flight", "Teacher preview"])
        with flight:
            _flight(client, trial, ready=ready)
        with preview:
            _preview(client, trial, num_rows=num_rows, ready=ready)


def _flight(client: Client, trial: Json, *, ready: bool) -> None:
    st.caption(
        "The base model answers some rows, with the hint and without, and the verifier scores them: is there something "
        "to learn, does the hint help, how long will it take?"
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rows = st.number_input("Rows", 1, MOST_ROWS, ROWS, key="preflight_rows", width=120)
        samples = st.number_input("Completions a row", 1, MOST_SAMPLES, SAMPLES, key="preflight_samples", width=160)
        body = trial | {"rows": int(rows), "samples": int(samples)}
        go = rights.button(
            client,
            "Pre-flight",
            icon=":material/flight_takeoff:",
            key="preflight_go",
            disabled=check_progress.busy(KEPT) or not ready,
        )
    if go:
        check_progress.ask(KEPT, lambda: client.preflight(body), refused=REFUSED)
    report = check_progress.result(
        client,
        KEPT,
        of=body,
        failed=REFUSED,
        stale="What is below is of earlier settings.",
        waiting="Waiting for a worker, then loading the model…",
    )
    if report:
        preflight_report.show(report, key="preflight")


def _preview(client: Client, trial: Json, *, num_rows: int, ready: bool) -> None:
    st.caption("The prompts of a row, word for word: what the student reads, and what its teacher reads.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        row = st.number_input("Row", 0, max(0, num_rows - 1), 0, key="preview_row", width=120)
        body = trial | {"row": int(row)}
        if rights.button(
            client,
            "Show the prompts",
            icon=":material/visibility:",
            key="preview_go",
            disabled=not ready or check_progress.busy(SHOWN),
        ):
            _ask_for_prompts(client, body)
    found = check_progress.result(
        client,
        SHOWN,
        of=body,
        failed="The prompts could not be made",
        stale="What is below is of another row or of earlier settings.",
        waiting="Waiting for the worker, which may be busy with a pre-flight…",
    )
    if found:
        prompts.show(found, key="preview")


def _ask_for_prompts(client: Client, body: Json) -> None:
    with st.spinner("Reading…"):
        check_progress.ask(SHOWN, lambda: client.teacher_preview(body), refused="The prompts could not be made")
