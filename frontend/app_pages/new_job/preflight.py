"""The pre-flight and the teacher preview of the form's settings, each at one click."""

import streamlit as st

from frontend.api import Client
from frontend.api.types import Json
from frontend.app_pages.new_job import preflight_report, remedies
from frontend.components import check_progress, prompts, rights
from frontend.words.job_settings import SECTIONS, SettingFacts, facts_of

REFUSED = "The pre-flight failed"
KEPT, SHOWN = "preflight_kept", "teacher_preview_kept"
USED = "tests_before_used"
OF_THE_JOB = frozenset(setting.name for setting in SECTIONS["Checks before training"])
"""Settings of a job's own checks before training, which do not affect these trials."""


def finished_id() -> str | None:
    """Return the id of the pre-flight whose report is shown."""
    found = check_progress.cached(KEPT)
    return found.check["id"] if found is not None and found.check["status"] == "done" else None


def with_preflight(settings: Json, *, schema: Json) -> Json:
    """Show a checkbox; return the settings, with a pre-flight before training if it is ticked.

    `schema`: of the pre-flight's request.
    """
    rows = facts_of(schema, "rows").default
    ticked = st.checkbox(
        "Run the pre-flight before training",
        key="preflight_first",
        help=f"The base model answers {rows} rows before the first step. If they have no signal, the job pauses for "
        "your decision instead of training. Nothing else about the job changes.",
    )
    return {"preflight_rows": rows, **settings} if ticked else settings


def panel(client: Client, job: Json, *, schema: Json, num_rows: int, ready: bool) -> None:
    """Show both. `job`: the body that would create it, whose dataset has `num_rows`. `schema`: of a pre-flight's
    request.
    """
    reinforcement: Json = job["method"]["reinforcement"]
    settings = {name: value for name, value in reinforcement["x_rlsd"].items() if name not in OF_THE_JOB}
    trial = {name: job[name] for name in ("model", "training_file")}
    trial |= {"grader": reinforcement["grader"], "x_rlsd": settings, "seed": job.get("seed", 0)}
    for key, kind in ((KEPT, "preflight"), (SHOWN, "teacher_preview")):
        like = {name: trial[name] for name in ("model", "grader")}
        check_progress.find(client, key, kind=kind, like=like, file=trial["training_file"])
    with st.expander(
        "Test before training", icon=":material/flight_takeoff:", expanded=_used(), key="test_before_fold"
    ):
        preflight, preview = st.tabs(["Pre-flight", "Teacher preview"])
        with preflight:
            _preflight(client, trial, schema=schema, ready=ready)
        with preview:
            _preview(client, trial, num_rows=num_rows, ready=ready)


def _used() -> bool:
    """Report whether a test was started or found on this page; it stays open, also when a setting is corrected."""
    st.session_state[USED] = st.session_state.get(USED, False) or bool({KEPT, SHOWN} & set(st.session_state))
    return bool(st.session_state[USED])


def _preflight(client: Client, trial: Json, *, schema: Json, ready: bool) -> None:
    st.caption(
        "The base model answers some rows, with and without the hint, and the verifier scores the answers. The report "
        "shows whether there is a signal to learn from, whether the hint helps, and how long training will take."
    )
    second = st.text_area(
        "Second instruction to compare (optional)",
        height=70,
        key="preflight_second",
        help="The same rows are answered under the form's instruction and under this one. The report has the solve "
        "rate with each and the difference.",
    ).strip()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rows = _count("Rows", facts_of(schema, "rows"), key="preflight_rows", width=120)
        samples = _count("Completions per row", facts_of(schema, "samples"), key="preflight_samples", width=160)
        body = compared(trial, second=second) | {"rows": rows, "samples": samples}
        go = rights.button(
            client,
            "Run pre-flight",
            icon=":material/flight_takeoff:",
            key="preflight_go",
            disabled=check_progress.busy(KEPT) or not ready,
        )
    tested = st.session_state.pop(remedies.DUE, False)
    if go and not tested:
        st.session_state.pop(remedies.BEFORE, None)
    if go or (tested and ready):
        check_progress.start(KEPT, lambda: client.preflight(body), refused=REFUSED)
    report = check_progress.result(
        client,
        KEPT,
        of=body,
        notes=check_progress.Notes(
            failed=REFUSED,
            stale="The report below is of earlier settings.",
            waiting="Waiting for a worker, then loading the model…",
        ),
    )
    if report:
        preflight_report.show(report, before=st.session_state.get(remedies.BEFORE), key="preflight")
        remedies.offer(client, report, dataset=trial["training_file"], ready=ready)


def _count(label: str, facts: SettingFacts, *, key: str, width: int) -> int:
    """Show a field of a whole number, which begins at its default."""
    least, most = int(facts.least or 1), None if facts.most is None else int(facts.most)
    return int(st.number_input(label, least, most, int(facts.default), key=key, width=width))


def compared(trial: Json, *, second: str) -> Json:
    """Return the trial's body, with its instruction and a second one to compare if there is one."""
    if not second:
        return trial
    settings = dict(trial["x_rlsd"])
    first = settings.pop("instruction", "")
    return trial | {"x_rlsd": settings, "instructions": [first, second]}


def _preview(client: Client, trial: Json, *, num_rows: int, ready: bool) -> None:
    st.caption("The exact prompts of a row, for the student and for its teacher.")
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
            _start_preview(client, body)
    found = check_progress.result(
        client,
        SHOWN,
        of=body,
        notes=check_progress.Notes(
            failed="The prompts could not be built",
            stale="The prompts below are of another row or of earlier settings.",
            waiting="Waiting for a worker, which may be running a pre-flight…",
        ),
    )
    if found:
        prompts.show(found, key="preview")


def _start_preview(client: Client, body: Json) -> None:
    with st.spinner("Building the prompts…"):
        check_progress.start(SHOWN, lambda: client.teacher_preview(body), refused="The prompts could not be built")
