"""One job (`?job=ftjob-…`): live while it runs, complete when it has ended."""

import json

import streamlit as st

from frontend import state, units
from frontend.client import ApiError
from frontend.components import (
    downloads,
    job_head,
    job_results,
    leakage_panel,
    learned_rows,
    parts,
    problems,
    rescore,
    rollouts,
    row_view,
    tour,
)
from frontend.feed import TICK_S, JobFeed

FEED = "job_feed"
LEARNING, COMPLETIONS, ROWS, LEAKAGE = "Learning", "Completions", "Rows", "Leakage"
CURVES, RESCORE, DOWNLOADS, EVENTS, SETTINGS = "More curves", "Re-score", "Downloads", "Events", "Settings"

client, zone = state.client(), state.zone()


def feed_of(job_id: str) -> JobFeed:
    """The feed of this page, opened anew for each job looked at."""
    feed: JobFeed | None = st.session_state.get(FEED)
    if feed is None or feed.job_id != job_id:
        with st.spinner("Loading the job…"):
            feed = JobFeed.open(client, job_id)
        st.session_state[FEED] = feed
    return feed


def live(job_id: str) -> None:
    """Head and chosen part; redrawn each tick while the job moves."""
    feed = feed_of(job_id)
    try:
        feed.tick(client)
    except ApiError as error:
        problems.show(error)
        st.caption("What is shown below is the last that was known; the page goes on trying.")
    job_head.show(feed, client)
    tour.guide(feed)
    part = parts.choice("Show", [LEARNING, COMPLETIONS, ROWS, LEAKAGE, CURVES, RESCORE, DOWNLOADS, EVENTS, SETTINGS])
    with problems.shown():
        if part == LEARNING:
            job_results.curves(feed)
            job_results.verdict(feed.evaluations)
        elif part == COMPLETIONS:
            rollouts.panel(feed, client)
        elif part == ROWS:
            learned_rows.panel(feed, client)
        elif part == LEAKAGE:
            leakage_panel.panel(feed)
        elif part == CURVES:
            job_results.further_curves(feed)
        elif part == RESCORE:
            rescore.panel(feed, client, zone=zone)
        elif part == DOWNLOADS:
            downloads.panel(feed, client)
        elif part == EVENTS:
            events(feed)
        else:
            settings(feed)
    if feed.settled and st.session_state.get("job_was_moving"):
        st.session_state["job_was_moving"] = False
        st.rerun()


def events(feed: JobFeed) -> None:
    if not feed.events:
        st.caption("Nothing has happened yet.")
        return
    table = [
        {
            "when": units.moment(e["created_at"], zone) + units.clock(e["created_at"], zone)[5:],
            "level": e["level"],
            "what": row_view.plain(e["message"]),
        }
        for e in feed.events
    ]
    st.table(table, hide_index=True, border="horizontal", alt="Events of the job, the newest first")


def settings(feed: JobFeed) -> None:
    job = feed.job
    st.caption("What this job was told. The manifest in the adapter's ZIP holds every setting and version.")
    with st.container(horizontal=True):
        dataset = {"dataset": job["training_file"]}
        st.page_link("app_pages/datasets.py", label="Dataset", icon=":material/table_rows:", query_params=dataset)
        st.page_link("app_pages/new_job.py", label="New job", icon=":material/add_circle:", query_params=dataset)
    st.code(json.dumps(job["method"], indent=2), language="json")
    st.caption(f"Job {job['id']}, seed {job['seed']}.")


chosen = state.address("job")
if chosen is None:
    st.title("Job", anchor=False)
    st.info("No job is chosen.", icon=":material/info:")
    st.page_link("app_pages/jobs.py", label="All jobs", icon=":material/list_alt:")
else:
    st.page_link("app_pages/jobs.py", label="All jobs", icon=":material/arrow_back:")
    opened = feed_of(chosen)
    st.session_state["job_was_moving"] = not opened.settled
    st.fragment(live, run_every=None if opened.settled else TICK_S)(chosen)
