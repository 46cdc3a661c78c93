"""One job (`?job=ftjob-…`): live while it runs, complete when it has ended."""

import streamlit as st

from frontend.api import ApiError
from frontend.components import downloads, tour
from frontend.components.held_out_verdict import verdict
from frontend.components.job_feed import TICK_S, JobFeed
from frontend.pages.job import checkpoints, curves, events, head, leakage_panel, learned_rows, rescore, rollouts
from frontend.pages.job import settings as job_told
from frontend.session import state
from frontend.widgets import paging, problems, tabs

FEED = "job_feed"
LEARNING, COMPLETIONS, ROWS, LEAKAGE = "Learning", "Completions", "Rows", "Leakage"
CURVES, RESCORE, CHECKPOINTS, DOWNLOADS = "More curves", "Re-score", "Checkpoints", downloads.PART
EVENTS, SETTINGS = "Events", "Settings"
PARTS = (LEARNING, COMPLETIONS, ROWS, LEAKAGE, CURVES, RESCORE, CHECKPOINTS, DOWNLOADS, EVENTS, SETTINGS)

client, zone = state.client(), state.zone()


def entered(job_id: str) -> JobFeed:
    """The feed of this page: opened anew for each job looked at, asked for its state by whoever comes back."""
    st.session_state.pop(rescore.VERIFIERS, None)
    feed: JobFeed | None = st.session_state.get(FEED)
    if feed is None or feed.job_id != job_id:
        with st.spinner("Loading the job…"):
            feed = JobFeed.open(client, job_id)
        st.session_state[FEED] = feed
    else:
        feed.enter()
    return feed


def live() -> None:
    """Head and chosen part; redrawn each tick while the job moves."""
    feed: JobFeed = st.session_state[FEED]
    try:
        feed.tick(client)
    except ApiError as error:
        problems.show(error)
        st.caption("What is shown below is the last that was known; the page goes on trying.")
    head.show(feed, client)
    tour.guide(feed)
    part = tabs.choice("Show", PARTS, on_change=paging.to_first)
    with problems.shown():
        if part == LEARNING:
            learning(feed)
        elif part == COMPLETIONS:
            rollouts.panel(feed, client)
        elif part == ROWS:
            learned_rows.panel(feed, client)
        elif part == LEAKAGE:
            leakage_panel.panel(feed)
        elif part == CURVES:
            curves.further_curves(feed)
        elif part == RESCORE:
            rescore.panel(feed, client)
        elif part == CHECKPOINTS:
            checkpoints.panel(feed, client, zone=zone)
        elif part == DOWNLOADS:
            downloads.panel(feed, client)
        elif part == EVENTS:
            events.panel(feed, client, zone=zone)
        else:
            job_told.panel(feed, client)
    if feed.settled and st.session_state.get("job_was_moving"):
        st.session_state["job_was_moving"] = False
        st.rerun()


def learning(feed: JobFeed) -> None:
    """While it trains the curves come first; once it has ended, whether it got better."""
    if feed.ended:
        verdict(feed.evaluations, job=feed.job)
        curves.curves(feed)
    else:
        curves.curves(feed)
        verdict(feed.evaluations, job=feed.job)


chosen = state.address("job")
if chosen is None:
    st.title("Job", anchor=False)
    st.info("No job is chosen.", icon=":material/info:")
    st.page_link("pages/jobs/page.py", label="All jobs", icon=":material/list_alt:")
else:
    st.page_link("pages/jobs/page.py", label="All jobs", icon=":material/arrow_back:")
    opened = entered(chosen)
    st.session_state["job_was_moving"] = not opened.settled
    st.fragment(live, run_every=None if opened.settled else TICK_S)()
