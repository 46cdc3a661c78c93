"""One job (`?job=ftjob-…`): live while it runs, complete when it has ended."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import ApiError, Client
from frontend.app_pages.job import checkpoints, curves, events, head, leakage_panel, learned_rows, rescore, rollouts
from frontend.app_pages.job import settings as job_settings
from frontend.components import downloads, tour
from frontend.components.held_out_verdict import verdict
from frontend.components.job_feed import TICK_S, JobFeed
from frontend.components.job_table import title_of
from frontend.session import state
from frontend.widgets import browser_title, paging, problems, tabs

FEED = "job_feed"
LEARNING, COMPLETIONS, ROWS, LEAKAGE = "Learning", "Completions", "Rows", "Leakage"
CURVES, RESCORE, CHECKPOINTS, DOWNLOADS = "More curves", "Re-score", "Checkpoints", downloads.PART
EVENTS, SETTINGS = "Events", "Settings"
TABS = (LEARNING, COMPLETIONS, ROWS, LEAKAGE, CURVES, RESCORE, CHECKPOINTS, DOWNLOADS, EVENTS, SETTINGS)


def open_feed(client: Client, job_id: str) -> JobFeed:
    """Return the feed of this page: a new one for another job, or the old one with its state due to be read."""
    st.session_state.pop(rescore.VERIFIERS, None)
    feed: JobFeed | None = st.session_state.get(FEED)
    if feed is None or feed.job_id != job_id:
        with st.spinner("Loading the job…"):
            feed = JobFeed.open(client, job_id)
        st.session_state[FEED] = feed
    else:
        feed.reopen()
    return feed


def live(client: Client, *, zone: ZoneInfo) -> None:
    """Show the head and the chosen tab; redrawn each tick while the job runs."""
    feed: JobFeed = st.session_state[FEED]
    try:
        feed.tick(client)
    except ApiError as error:
        problems.show(error)
        st.caption("The page shows the last known state and keeps trying to connect.")
    head.show(feed, client)
    tour.guide(feed)
    tab = tabs.choice("Show", TABS, of=feed.job_id, on_change=paging.to_first)
    with problems.shown():
        if tab == LEARNING:
            learning(feed)
        elif tab == COMPLETIONS:
            rollouts.panel(feed, client)
        elif tab == ROWS:
            learned_rows.panel(feed, client)
        elif tab == LEAKAGE:
            leakage_panel.panel(feed)
        elif tab == CURVES:
            curves.further_curves(feed)
        elif tab == RESCORE:
            rescore.panel(feed, client)
        elif tab == CHECKPOINTS:
            checkpoints.panel(feed, client, zone=zone)
        elif tab == DOWNLOADS:
            downloads.panel(feed, client)
        elif tab == EVENTS:
            events.panel(feed, client, zone=zone)
        else:
            job_settings.panel(feed, client)
    if feed.settled and st.session_state.get("job_was_moving"):
        st.session_state["job_was_moving"] = False
        st.rerun()


def learning(feed: JobFeed) -> None:
    """Show the curves first during training, and the verdict first once the job has ended."""
    if feed.ended:
        verdict(feed.evaluations, job=feed.job)
        curves.curves(feed)
    else:
        curves.curves(feed)
        verdict(feed.evaluations, job=feed.job)


def page() -> None:
    client, zone = state.client(), state.zone()
    chosen = state.address("job")
    if chosen is None:
        st.title("Job", anchor=False)
        st.info("No job is selected.", icon=":material/info:")
        st.page_link("app_pages/jobs/page.py", label="All jobs", icon=":material/list_alt:")
    else:
        st.page_link("app_pages/jobs/page.py", label="All jobs", icon=":material/arrow_back:")
        opened = open_feed(client, chosen)
        browser_title.show(title_of(opened.job))
        st.session_state["job_was_moving"] = not opened.settled
        st.fragment(live, run_every=None if opened.settled else TICK_S)(client, zone=zone)


if __name__ == "__main__":
    page()
