"""Home: what wants you, what runs, what comes next."""

import time
from collections.abc import Sequence

import streamlit as st

from frontend.api.types import DataFile, Job, Verifier
from frontend.components import job_table, rights, tour
from frontend.pages.home.alerts import Alert, wants
from frontend.pages.home.feed import TICK_S, HomeFeed
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
"""Files or verifiers of which the tour cannot have left all."""

client, zone = state.client(), state.zone()


def way(files: Sequence[DataFile], verifiers: Sequence[Verifier], *, trained: bool, asked: bool) -> None:
    """The four steps to an adapter of one's own; the first one not done yet stands out."""
    steps = [
        ("Upload data", "Questions with their answers: a spreadsheet or JSON lines.", bool(files), "datasets"),
        ("Write a verifier", "The rule that says whether an answer is right.", bool(verifiers), "verifiers"),
        ("Train", "Choose data, verifier and model; watch it learn.", trained, "new_job"),
        ("Use it", "Ask it beside its base, here or by the API; then take the adapter home.", asked, "models"),
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
            st.page_link(f"pages/{page}/page.py", label="Open", icon=":material/arrow_forward:")


def wanting(found: Sequence[Alert]) -> None:
    """What a person has to do, each with the way there."""
    st.subheader("Wants you", anchor=False)
    for place, want in enumerate(found):
        icon, color = (":material/error:", "red") if want.level == "bad" else (":material/info:", "orange")
        with st.container(border=True, key=f"want_{place}"):
            if want.page is not None:
                st.page_link(
                    f"pages/{want.page}/page.py",
                    label=f"**{plain(want.title)}**",
                    icon=icon,
                    query_params=want.query,
                )
                st.text(want.text)
            elif want.job is None:
                st.markdown(f":{color}[{icon}] **{want.title}**")
                st.markdown(want.text)
            else:
                link = {"job": want.job["id"]}
                title = f"**{job_table.title_of(want.job)}** {want.title}"
                st.page_link("pages/job/page.py", label=title, icon=icon, query_params=link)
                st.text(want.text)


@st.fragment(run_every=TICK_S)
def now() -> None:
    """What wants someone, what runs, what has ended: two requests every four seconds."""
    feed: HomeFeed = st.session_state[FEED]
    with problems.shown():
        feed.tick(client)
        jobs = [*feed.open_jobs, *feed.ended]
        found = wants(jobs, feed.workers, now=time.time(), checks=feed.checks, files=feed.files, webhooks=feed.webhooks)
        if found:
            wanting(found)
        if not jobs:
            return
        st.subheader("Running now", anchor=False)
        moving = feed.moving
        if moving:
            job_table.rows(moving[:MOVING_SHOWN], zone=zone)
        else:
            st.caption("Nothing is running or waiting.")
        if len(moving) > MOVING_SHOWN:
            every = f"{'More than ' if feed.more_open else ''}{units.count(len(moving), 'job')} run or wait"
            st.page_link("pages/jobs/page.py", label=every, icon=":material/list:")
        if feed.ended:
            st.subheader("Last ended", anchor=False)
            job_table.rows(feed.ended[:ENDED_SHOWN], zone=zone)


st.title("Home", anchor=False)
st.write("From your rows and your rule to a better model: four steps, all of them on your own machine.")
files, verifiers = client.files(limit=MORE_THAN_TOUR)["data"], client.verifiers(limit=MORE_THAN_TOUR)["data"]
newest: list[Job] = client.jobs(limit=NEWEST_JOBS)["data"]
succeeded: list[Job] = client.jobs(limit=NEWEST_JOBS, status=["succeeded"])["data"]
of_tour = {job["fine_tuned_model"] for job in succeeded if is_tour(job)}
way(
    [file for file in files if file["filename"] not in starter.FILES],
    [verifier for verifier in verifiers if verifier["name"] != starter.VERIFIER],
    trained=any(not is_tour(job) for job in succeeded),
    asked=any(
        model.startswith("ft:") and model.partition(":ckpt-")[0] not in of_tour
        for model in client.models_asked(days=A_YEAR_DAYS)
    ),
)
toured = next((job for job in newest if is_tour(job) and job["status"] not in ("failed", "cancelled")), None)
if toured is None and not succeeded:
    tour.offer(client)
st.session_state[FEED] = HomeFeed(is_admin=rights.role(client) == "admin")
now()
