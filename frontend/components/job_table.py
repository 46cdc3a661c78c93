"""Job rows: link, state, progress, method and start time."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api.types import JobObject
from frontend.components.verdict_chip import chip
from frontend.words import units
from frontend.words.held_out import verdict_of
from frontend.words.job_settings import method_name
from frontend.words.job_states import MOVING, look
from frontend.words.markdown import plain


def title_of(job: JobObject) -> str:
    """Return the job's name, or else the model and the end of the id."""
    return job["user_provided_suffix"] or f"{job['model'].rsplit('/', 1)[-1]} · {job['id'][-6:]}"


def start_time(job: JobObject, zone: ZoneInfo) -> str:
    """Say when training started, or when a waiting job was created."""
    started = job["x_progress"]["started_at"]
    if started is None:
        return f"created {units.moment(job['created_at'], zone)}"
    return f"started {units.moment(started, zone)}"


def row(job: JobObject, *, zone: ZoneInfo, more: str | None) -> None:
    state = look(job["status"])
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row_{job['id']}"):
        with st.container(width="stretch", gap=None):
            st.page_link(
                "app_pages/job/page.py",
                label=f"**{plain(title_of(job))}**",
                icon=state.icon,
                query_params={"job": job["id"]},
            )
            st.caption(f"{plain(job['model'])} · {method_name(job)} · {start_time(job, zone)}")
            if more:
                st.caption(more)
        step, most = job["x_progress"]["step"], job["x_progress"]["max_steps"]
        if job["status"] in MOVING or job["status"] == "paused":
            st.progress(units.share(step, most), text=f"step {step:,} of {most:,}", width=220)
        else:
            st.caption(f"{step:,} of {units.count(most, 'step')}", width="content")
        chip(verdict_of(job))
        st.badge(state.label, color=state.color)


def rows(jobs: list[JobObject], *, zone: ZoneInfo, more: Mapping[str, str] | None = None) -> None:
    """Show jobs. `more`: a further line by job id."""
    for job in jobs:
        row(job, zone=zone, more=(more or {}).get(job["id"]))
