"""The head of the Job page: state, progress, time left, actions, the adapter."""

import time
from typing import Literal

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import JobObject, StepMetrics
from frontend.app_pages.job import checks
from frontend.components import rights
from frontend.components.job_feed import JobFeed, pace_s, seconds_left
from frontend.components.job_table import start_time, title_of
from frontend.components.verdict_chip import chip
from frontend.session import state
from frontend.widgets import problems
from frontend.words import held_out, units
from frontend.words.field_names import in_form_words
from frontend.words.job_settings import label_of
from frontend.words.job_states import CANCELLING, PAUSABLE, look
from frontend.words.markdown import plain, sentence

RECENT_STEPS = 10
NOTHING_LEARNED = "Nothing was learned: the adapter has no effect."
WHY = {"failed": "Why it failed", "paused": "Why it paused", "cancelled": "Why it was paused before"}


def show(feed: JobFeed, client: Client) -> None:
    job = feed.job
    cancelling = not feed.ended and any(event["code"] == "job.cancelling" for event in feed.events)
    state_now = CANCELLING if cancelling else look(job["status"])
    with st.container(horizontal=True, vertical_alignment="center", key="job_state"):
        st.title(plain(title_of(job)), anchor=False, width="content")
        st.badge(state_now.label, icon=state_now.icon, color=state_now.color)
        chip(held_out.verdict_of(job))
    state_sentence = NOTHING_LEARNED if held_out.verdict_of(job) == "nothing_learned" else state_now.sentence
    st.caption(f"{state_sentence} Model {plain(job['model'])}, {start_time(job, state.zone())}.")
    _error(job)
    checks.show(job, client)
    _progress(feed)
    _buttons(feed, client, can_stop=not cancelling)


def _error(job: JobObject) -> None:
    error = job["error"]
    if error is None:
        return
    message, setting = sentence(in_form_words(error["message"])), label_of(error["param"])
    where = "" if setting is None or setting in message else f" In the form for a new job, this setting is “{setting}”."
    title = WHY.get(job["status"], "What went wrong")
    if job["status"] == "failed":
        st.error(f"{message}{where}", title=title, icon=":material/error:")
    else:
        st.warning(f"{message}{where}", title=title, icon=":material/pause_circle:")


def _progress(feed: JobFeed) -> None:
    """Show the progress; without a bar if the job has ended."""
    job, most, step, warm = feed.job, feed.max_steps, feed.step, feed.warm_steps
    text = f"step {step:,} of {most:,}"
    if 0 < step < warm:
        text = f"warm start, step {step:,} of {warm:,}"
    if feed.ended:
        st.caption(text)
    else:
        st.progress(units.share(step, most), text=f"{text}{_next(feed)}")
    _figures(job, feed.metrics)


def _next(feed: JobFeed) -> str:
    before = feed.job["x_progress"].get("queue_before")
    if feed.job["status"] == "queued" and before is not None:
        return f" · {'the next to start' if before == 0 else place_in_queue(before)}"
    if feed.job["status"] != "running":
        return ""
    if feed.step >= feed.max_steps:
        return " · evaluating on held-out questions"
    if feed.step == 0:
        return " · evaluating the base model on held-out questions first"
    if feed.step == feed.warm_steps:
        return " · evaluating on held-out questions after the warm start"
    left = seconds_left(feed)
    return "" if left is None else f" · about {units.duration(left)} left"


def place_in_queue(before: int) -> str:
    return f"{units.count(before, 'job')} {'is' if before == 1 else 'are'} before this one"


def _figures(job: JobObject, metrics: list[StepMetrics]) -> None:
    newest = metrics[-1]["values"] if metrics else {}
    recent = metrics[-RECENT_STEPS:]
    mean_reward = f"Mean reward, {units.count(len(recent), 'step')}" if recent else "Mean reward"
    rewards = [reward for m in recent if (reward := m["values"].get("reward_mean")) is not None]
    tokens, pace = newest.get("completion_tokens_mean"), pace_s(metrics)
    started = job["x_progress"]["started_at"] or job["created_at"]
    taken = units.duration((job["finished_at"] or time.time()) - started)
    figures = {
        mean_reward: f"{sum(rewards) / len(rewards):.2f}" if rewards else "–",
        "Time per step": f"{pace:.2f} s" if pace else "–",
        "Completion length": f"{tokens:.0f} tokens" if tokens else "–",
        "Duration" if job["finished_at"] else "Time since start": taken,
    }
    with st.grid(min_column_width=170):
        for label, value in figures.items():
            st.metric(label, value, border=True, height="stretch")


def _buttons(feed: JobFeed, client: Client, *, can_stop: bool) -> None:
    job = feed.job
    with st.container(horizontal=True, vertical_alignment="center"):
        if (
            can_stop
            and job["status"] in PAUSABLE
            and rights.button(client, "Pause", icon=":material/pause:", key="pause")
        ):
            _control(feed, client, "pause")
        if job["status"] == "paused" and rights.button(
            client, "Resume", icon=":material/play_arrow:", type="primary", key="resume"
        ):
            _control(feed, client, "resume")
        if can_stop and not feed.ended:
            with rights.popover(client, "Cancel", icon=":material/cancel:", key="cancel_open"):
                st.write("The job ends after the current step and cannot be resumed.")
                if st.button("Cancel the job", type="primary", key="cancel"):
                    _control(feed, client, "cancel")
        if job["status"] == "succeeded":
            _trained(job, client)
        rights.page_link(
            client,
            "app_pages/new_job/page.py",
            label="Train again with changes",
            icon=":material/content_copy:",
            query_params={"from": job["id"]},
            help="Opens a new job with the settings of this one.",
        )


def _trained(job: JobObject, client: Client) -> None:
    """Show the actions for the adapter."""
    st.download_button(
        "Download the adapter",
        data=lambda: client.adapter(job["id"]),
        file_name=f"{job['user_provided_suffix'] or job['id']}-adapter.zip",
        mime="application/zip",
        icon=":material/download:",
        type="primary",
        on_click="ignore",
        key="adapter",
        help="ZIP: adapter weights, configuration, model card and manifest.",
    )
    model = job["fine_tuned_model"]
    if model is None:
        return
    st.page_link(
        "app_pages/playground/page.py",
        label="Compare with base model",
        icon=":material/forum:",
        query_params={"left": job["model"], "right": model},
        help="Ask both the same question, side by side.",
    )
    st.page_link(
        "app_pages/models/page.py",
        label="Open the model",
        icon=":material/deployed_code:",
        query_params={"model": model},
    )


def _control(feed: JobFeed, client: Client, action: Literal["cancel", "pause", "resume"]) -> None:
    try:
        client.control_job(feed.job_id, action)
        feed.refresh_state(client)
    except ApiError as error:
        problems.show(error)
        return
    st.rerun()
