"""Further facts for the job list: the dataset's name and the held-out scores."""

from collections.abc import Sequence

import streamlit as st

from frontend.api import Client
from frontend.api.types import HeldOut, JobObject

DATASETS, SCORES = "job_facts_datasets", "job_facts_scores"
GONE = "a deleted dataset"
MOST_DATASETS = 1000


def lines_by_job(client: Client, jobs: Sequence[JobObject]) -> dict[str, str]:
    """Return a line by job id. Names and scores do not change: only new ones are requested."""
    names, scores = _datasets(client, jobs), _scores(client, jobs)
    return {job["id"]: " · ".join(filter(None, (names[job["training_file"]], scores.get(job["id"])))) for job in jobs}


def _datasets(client: Client, jobs: Sequence[JobObject]) -> dict[str, str]:
    known: dict[str, str] = st.session_state.setdefault(DATASETS, {})
    needed = {job["training_file"] for job in jobs} - set(known)
    if needed:
        found = {file["id"]: file["filename"] for file in client.files(limit=MOST_DATASETS)["data"]}
        known.update({file_id: found.get(file_id, GONE) for file_id in needed})
    return known


def _scores(client: Client, jobs: Sequence[JobObject]) -> dict[str, str | None]:
    """Return `held-out score 0.18 → 0.74` of the succeeded jobs, by job id."""
    known: dict[str, str | None] = st.session_state.setdefault(SCORES, {})
    needed = {job["id"] for job in jobs if job["status"] == "succeeded"} - set(known)
    if needed:
        found = {model["x_job"]: model["x_held_out"] for model in client.models() if model["x_job"]}
        known.update({job_id: _score(found.get(job_id)) for job_id in needed})
    return known


def _score(held_out: HeldOut | None) -> str | None:
    if held_out is None or held_out["before"] is None or held_out["after"] is None:
        return None
    scores = (held_out["before"], held_out["warm"], held_out["after"])
    return f"held-out score {' → '.join(f'{score:.2f}' for score in scores if score is not None)}"
