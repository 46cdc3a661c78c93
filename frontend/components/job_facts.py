"""Further facts for the job list: the dataset's name and the held-out scores."""

from collections.abc import Sequence

import streamlit as st

from frontend.api import Client
from frontend.api.types import JobObject
from frontend.words.held_out import scores

DATASETS = "job_facts_datasets"
GONE = "a deleted dataset"
MOST_DATASETS = 1000


def lines_by_job(client: Client, jobs: Sequence[JobObject]) -> dict[str, str]:
    """Return a line by job id. Names do not change: only new ones are requested."""
    names = _datasets(client, jobs)
    return {job["id"]: " · ".join(filter(None, (names[job["training_file"]], _scores(job)))) for job in jobs}


def _scores(job: JobObject) -> str | None:
    result = job.get("x_result")
    return None if result is None else scores(result)


def _datasets(client: Client, jobs: Sequence[JobObject]) -> dict[str, str]:
    known: dict[str, str] = st.session_state.setdefault(DATASETS, {})
    needed = {job["training_file"] for job in jobs} - set(known)
    if needed:
        found = {file["id"]: file["filename"] for file in client.files(limit=MOST_DATASETS)["data"]}
        known.update({file_id: found.get(file_id, GONE) for file_id in needed})
    return known
