"""The form that leaves rows out of a new version: by solve rate, by text, by the report, by number."""

import re
from typing import Any

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import FileObject, JobObject, Json
from frontend.components import rights
from frontend.components.choices import distinct_labels
from frontend.components.job_table import title_of
from frontend.widgets import problems
from frontend.words import units

JOBS = 100
NEVER, ALWAYS, UNSEEN = "never solved", "always solved", "not used yet"
RANGE = re.compile(r"(\d{1,12})(?:\s*-\s*(\d{1,12}))?")
MAX_NUMBERS = 100_000


class UnclearRowsError(ValueError):
    """A list of row numbers that cannot be parsed."""


def panel(client: Client, file: FileObject) -> None:
    st.caption("Each rule that you fill in leaves rows out of a new version. The current version does not change.")
    try:
        filters = [*_by_job(client, file), *_by_report(), *_by_text(), *_by_number()]
    except UnclearRowsError as error:
        st.warning(str(error), icon=":material/warning:")
        return
    if rights.button(
        client,
        "Save as a new version",
        type="primary",
        icon=":material/filter_alt:",
        key="filter_save",
        disabled=not filters,
    ):
        try:
            with st.spinner("Creating the new version…"):
                made = client.create_version(file["id"], edits=[], filters=filters, filename=None)
        except ApiError as error:
            problems.show(error, title="The new version was not created")
            return
        st.switch_page("app_pages/datasets/page.py", query_params={"dataset": made["id"]})


def _by_job(client: Client, file: FileObject) -> list[Json]:
    jobs: list[JobObject] = client.jobs(limit=JOBS)["data"]
    if not jobs:
        st.caption("Once a job has run, you can leave rows out by how often it solved them.")
        return []
    jobs.sort(key=lambda job: job["training_file"] != file["id"])
    names = {job["id"]: _name(job, here=job["training_file"] == file["id"]) for job in jobs}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        job = st.selectbox(
            "By solve rate in job",
            list(names),
            format_func=distinct_labels(names, more=lambda job_id: job_id[-6:]),
            key="filter_job",
        )
        chosen = st.pills("Leave out rows", [NEVER, ALWAYS, UNSEEN], selection_mode="multi", key="filter_solved")
    low, high = st.slider(
        "Keep rows with this share of right completions", 0, 100, (0, 100), step=5, format="%d %%", key="filter_rates"
    )
    if not chosen and (low, high) == (0, 100):
        return []
    rule: Json = {"type": "solve_rate", "job": job, "never_solved": NEVER in chosen, "always_solved": ALWAYS in chosen}
    rule |= {"unseen": "leave_out"} if UNSEEN in chosen else {}
    rule |= {"min_rate": low / 100} if low > 0 else {}
    return [rule | ({"max_rate": high / 100} if high < 100 else {})]


def _name(job: JobObject, *, here: bool) -> str:
    return f"{title_of(job)} ({job['model']}{', on this dataset' if here else ''})"


def _by_report() -> list[Json]:
    kinds = {
        "exact_duplicates": "duplicate of an earlier row",
        "near_duplicates": "near-duplicate of an earlier row",
        "warnings": "with a warning in the report",
    }
    chosen: list[Any] = st.pills(
        "Leave out duplicates or suspicious rows",
        list(kinds),
        format_func=kinds.__getitem__,
        selection_mode="multi",
        key="filter_report",
    )
    return [{"type": kind} for kind in kinds if kind in chosen]


def _by_text() -> list[Json]:
    left, middle, right = st.columns(3)
    longest = left.number_input(
        "Maximum question length",
        min_value=1,
        value=None,
        placeholder="any length",
        help="In characters.",
        key="filter_long",
    )
    text = middle.text_input("Text in question or reference", max_chars=1000, key="filter_text")
    which = right.radio("Leave out rows", ["with", "without"], horizontal=True, key="filter_text_which")
    filters: list[Json] = [] if longest is None else [{"type": "question_length", "max_characters": int(longest)}]
    return filters + ([{"type": "text", "contains": text, "leave_out": which}] if text else [])


def _by_number() -> list[Json]:
    written = st.text_input("Leave out rows by number, from 0", placeholder="3, 7, 10-20", key="filter_rows")
    return [{"type": "rows", "drop": numbers_in(written)}] if written.strip() else []


def numbers_in(written: str) -> list[int]:
    """Parse `3, 7, 10-12` as [3, 7, 10, 11, 12]. Raises UnclearRowsError."""
    found: list[int] = []
    for part in written.replace(";", ",").split(","):
        match = RANGE.fullmatch(part.strip())
        if match is None:
            raise UnclearRowsError(
                f"“{part.strip()}” is not a row number. Enter numbers and ranges, such as 3, 7, 10-20."
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first + len(found) >= MAX_NUMBERS:
            raise UnclearRowsError(
                f"“{part.strip()}” is a descending range, or there are more than {units.count(MAX_NUMBERS, 'row')}."
            )
        found += range(first, last + 1)
    return found
