"""Home: alerts, running jobs, the next steps."""

import time
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import FileObject, JobObject, VerifierObject
from frontend.app_pages.home.alerts import Alert, find_alerts
from frontend.app_pages.home.feed import TICK_S, HomeFeed
from frontend.components import job_table, rights, tour
from frontend.session import state
from frontend.widgets import problems
from frontend.words import starter, units
from frontend.words.markdown import plain
from frontend.words.starter import is_tour

FEED = "home_feed"
NEWEST_JOBS = 50
MOVING_SHOWN, ENDED_SHOWN = 10, 3
A_YEAR_DAYS = 366
MORE_THAN_TOUR = 3
"""One more than the files that the tour leaves, so that one of the user's own is among them."""


def steps_to_adapter(
    files: Sequence[FileObject], verifiers: Sequence[VerifierObject], *, trained: bool, used: bool
) -> None:
    """Show the four steps to an adapter; the first open one is highlighted."""
    steps = [
        ("Upload data", "Questions with their answers, as a spreadsheet or JSON Lines.", bool(files), "datasets"),
        ("Write a verifier", "The rule that decides whether an answer is right.", bool(verifiers), "verifiers"),
        ("Train", "Choose data, verifier and model, and watch it learn.", trained, "new_job"),
        ("Use it", "Compare it with its base model, here or over the API, and download the adapter.", used, "models"),
    ]
    following = next((place for place, step in enumerate(steps) if not step[2]), None)
    for place, (column, (title, text, done, page)) in enumerate(zip(st.columns(4), steps, strict=True)):
        with column.container(border=True, height="stretch"):
            if done:
                st.badge("Done", icon=":material/check:", color="green")
            elif place == following:
                st.badge("Next step", icon=":material/arrow_forward:", color="primary")
            else:
                st.badge("Later", color="gray")
            st.subheader(f"{place + 1}. {title}", anchor=False)
            st.write(text)
            st.page_link(f"app_pages/{page}/page.py", label="Open", icon=":material/arrow_forward:")


def show_alerts(found: Sequence[Alert]) -> None:
    """Show what needs a person, each with a link to the page where it can be handled."""
    st.subheader("Needs attention", anchor=False)
    for place, alert in enumerate(found):
        icon, color = (":material/error:", "red") if alert.level == "bad" else (":material/info:", "orange")
        with st.container(border=True, key=f"want_{place}"):
            if alert.page is not None:
                st.page_link(
                    f"app_pages/{alert.page}/page.py",
                    label=f"**{plain(alert.title)}**",
                    icon=icon,
                    query_params=alert.query,
                )
                st.text(alert.text)
            elif alert.job is None:
                st.markdown(f":{color}[{icon}] **{alert.title}**")
                st.markdown(alert.text)
            else:
                link = {"job": alert.job["id"]}
                title = f"**{plain(job_table.title_of(alert.job))}** {alert.title}"
                st.page_link("app_pages/job/page.py", label=title, icon=icon, query_params=link)
                st.text(alert.text)


@st.fragment(run_every=TICK_S)
def now(client: Client, *, zone: ZoneInfo) -> None:
    """Show alerts, running jobs and ended jobs; two requests every four seconds."""
    feed: HomeFeed = st.session_state[FEED]
    with problems.shown():
        feed.tick(client)
        jobs = [*feed.open_jobs, *feed.ended]
        found = find_alerts(
            jobs, feed.workers, now=time.time(), checks=feed.checks, files=feed.files, webhooks=feed.webhooks
        )
        if found:
            show_alerts(found)
        if not jobs:
            return
        st.subheader("Running now", anchor=False)
        moving = feed.moving
        if moving:
            job_table.rows(moving[:MOVING_SHOWN], zone=zone)
        else:
            st.caption("No job is running or waiting.")
        if len(moving) > MOVING_SHOWN:
            every = f"{'More than ' if feed.more_open else ''}{units.count(len(moving), 'job')} running or waiting"
            st.page_link("app_pages/jobs/page.py", label=every, icon=":material/list:")
        if feed.ended:
            st.subheader("Recently ended", anchor=False)
            job_table.rows(feed.ended[:ENDED_SHOWN], zone=zone)


def page() -> None:
    client, zone = state.client(), state.zone()
    st.title("Home", anchor=False)
    st.write("From your data and your rule to a better model in four steps, all on your own machine.")
    files, verifiers = client.files(limit=MORE_THAN_TOUR)["data"], client.verifiers(limit=MORE_THAN_TOUR)["data"]
    newest: list[JobObject] = client.jobs(limit=NEWEST_JOBS)["data"]
    succeeded: list[JobObject] = client.jobs(limit=NEWEST_JOBS, status=["succeeded"])["data"]
    of_tour = {job["fine_tuned_model"] for job in succeeded if is_tour(job)}
    steps_to_adapter(
        [file for file in files if file["filename"] not in starter.FILES],
        [verifier for verifier in verifiers if verifier["name"] != starter.VERIFIER],
        trained=any(not is_tour(job) for job in succeeded),
        used=any(
            model.startswith("ft:") and model.partition(":ckpt-")[0] not in of_tour
            for model in client.models_used(days=A_YEAR_DAYS)
        ),
    )
    toured = next((job for job in newest if is_tour(job) and job["status"] not in ("failed", "cancelled")), None)
    if toured is None and not succeeded:
        tour.offer(client)
    st.session_state[FEED] = HomeFeed(is_admin=rights.role(client) == "admin")
    now(client, zone=zone)


if __name__ == "__main__":
    page()
