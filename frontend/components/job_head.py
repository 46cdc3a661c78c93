"""The head of the Job page: state, progress, time left, what may be asked, the adapter."""

import time
from typing import Literal

import streamlit as st

from frontend import state, units
from frontend.client import ApiError, Client, Job, Metrics
from frontend.components import problems
from frontend.components.job_list import title_of
from frontend.feed import JobFeed, seconds_left
from frontend.job_states import ENDED, PAUSABLE, look

WHERE_TO_LOWER = "Lower “Tokens in one pass”, “Questions a step” or “Longest completion” and start again."


def show(feed: JobFeed, client: Client) -> None:
    job = feed.job
    state_now = look(job["status"])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(title_of(job), anchor=False, width="content")
        st.badge(state_now.label, icon=state_now.icon, color=state_now.color)
    st.caption(f"{state_now.sentence} Started {units.moment(job['created_at'], state.zone())}, model {job['model']}.")
    _error(job)
    _progress(feed)
    _buttons(feed, client)


def _error(job: Job) -> None:
    error = job.get("error") or {}
    if not error.get("message"):
        return
    memory = "memory" in str(error.get("code") or "")
    st.error(
        f"{error['message']}{' ' + WHERE_TO_LOWER if memory else ''}", title="Why it failed", icon=":material/error:"
    )


def _progress(feed: JobFeed) -> None:
    job, most = feed.job, feed.max_steps
    if most:
        text = f"step {feed.step:,} of {most:,}"
        left = seconds_left(feed.metrics, max_steps=most) if job["status"] == "running" else None
        if left is not None and feed.step < most:
            text += f" · about {units.duration(left)} left"
        elif job["status"] == "running" and feed.step >= most:
            text += " · measuring on held-out questions"
        elif job["status"] == "running" and feed.step == 0:
            text += " · measuring the base model on held-out questions first"
        st.progress(min(feed.step / most, 1.0), text=text)
    _figures(feed.job, feed.metrics)


def _figures(job: Job, metrics: list[Metrics]) -> None:
    newest = metrics[-1]["values"] if metrics else {}
    reward, pace, length, took = st.columns(4)
    smooth = [m["values"]["reward_mean"] for m in metrics[-10:] if "reward_mean" in m["values"]]
    reward.metric(
        "Mean reward, last 10 steps",
        f"{sum(smooth) / len(smooth):.2f}" if smooth else "–",
        border=True,
        height="stretch",
    )
    pace.metric(
        "Time a step", f"{newest['step_s']:.2f} s" if "step_s" in newest else "–", border=True, height="stretch"
    )
    tokens = newest.get("completion_tokens_mean")
    length.metric("Completion length", f"{tokens:.0f} tokens" if tokens else "–", border=True, height="stretch")
    begun = job.get("started_at") or job["created_at"]
    took.metric(
        "Time since start", units.duration((job["finished_at"] or time.time()) - begun), border=True, height="stretch"
    )


def _buttons(feed: JobFeed, client: Client) -> None:
    job = feed.job
    with st.container(horizontal=True):
        if job["status"] in PAUSABLE and st.button("Pause", icon=":material/pause:", key="pause"):
            _ask(feed, client, "pause")
        if job["status"] == "paused" and st.button(
            "Resume", icon=":material/play_arrow:", type="primary", key="resume"
        ):
            _ask(feed, client, "resume")
        if job["status"] not in ENDED:
            with st.popover("Cancel", icon=":material/cancel:", key="cancel_open"):
                st.write("The job ends after the current step and cannot be resumed.")
                if st.button("Cancel the job", type="primary", key="cancel"):
                    _ask(feed, client, "cancel")
        if job["status"] == "succeeded":
            st.download_button(
                "Download the adapter",
                data=lambda: client.adapter(job["id"]),
                file_name=f"{job.get('suffix') or job['id']}-adapter.zip",
                mime="application/zip",
                icon=":material/download:",
                type="primary",
                on_click="ignore",
                key="adapter",
                help="ZIP: adapter weights, configuration, model card and manifest.",
            )


def _ask(feed: JobFeed, client: Client, wish: Literal["cancel", "pause", "resume"]) -> None:
    try:
        client.ask_job(feed.job_id, wish)
        feed.refresh_state(client)
    except ApiError as error:
        problems.show(error)
        return
    st.rerun()
