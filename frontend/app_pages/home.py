"""Home: what wants you, what runs, what comes next."""

import time
from collections.abc import Sequence

import streamlit as st

from frontend import starter, state
from frontend.attention import Want, wants
from frontend.components import job_list, problems, tour
from frontend.job_states import MOVING
from frontend.shapes import DataFile, Job, Verifier
from frontend.starter import is_tour

REFRESH_S = 4.0
NEWEST_JOBS = 50
ENDED_SHOWN = 3
MORE_THAN_TOUR = 3
"""Files or verifiers of which the tour cannot have left all."""

client, zone = state.client(), state.zone()


def way(files: Sequence[DataFile], verifiers: Sequence[Verifier], jobs: Sequence[Job]) -> None:
    """The four steps to an adapter of one's own; the first one not done yet stands out."""
    trained = any(job["status"] == "succeeded" for job in jobs)
    steps = [
        ("Upload data", "Questions with their answers: a spreadsheet or JSON lines.", bool(files), "datasets"),
        ("Write a verifier", "The rule that says whether an answer is right.", bool(verifiers), "verifiers"),
        ("Train", "Choose data, verifier and model; watch it learn.", trained, "new_job"),
        ("Use it", "Ask it beside its base, then take the adapter home.", False, "models"),
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
            st.page_link(f"app_pages/{page}.py", label="Open", icon=":material/arrow_forward:")


def wanting(found: Sequence[Want]) -> None:
    """What a person has to do, each with the way there."""
    st.subheader("Wants you", anchor=False)
    for place, want in enumerate(found):
        icon, color = (":material/error:", "red") if want.level == "bad" else (":material/info:", "orange")
        with st.container(border=True, key=f"want_{place}"):
            if want.job is None:
                st.markdown(f":{color}[{icon}] **{want.title}**")
                st.markdown(want.text)
            else:
                link = {"job": want.job["id"]}
                title = f"**{job_list.title_of(want.job)}** {want.title}"
                st.page_link("app_pages/job.py", label=title, icon=icon, query_params=link)
                st.text(want.text)


@st.fragment(run_every=REFRESH_S)
def now() -> None:
    """What wants someone, what runs, what has ended: two requests every four seconds."""
    with problems.shown():
        jobs: list[Job] = client.jobs(limit=NEWEST_JOBS)["data"]
        found = wants(jobs, client.workers(), now=time.time())
        if found:
            wanting(found)
        if not jobs:
            return
        moving = [job for job in jobs if job["status"] in MOVING]
        recent = [job for job in jobs if job["status"] not in (*MOVING, "paused")][:ENDED_SHOWN]
        st.subheader("Running now", anchor=False)
        if moving:
            job_list.rows(moving, zone=zone)
        else:
            st.caption("Nothing is running or waiting.")
        if recent:
            st.subheader("Last ended", anchor=False)
            job_list.rows(recent, zone=zone)


st.title("Home", anchor=False)
st.write("From your rows and your rule to a better model: four steps, all of them on your own machine.")
files, verifiers = client.files(limit=MORE_THAN_TOUR)["data"], client.verifiers(limit=MORE_THAN_TOUR)["data"]
newest = client.jobs(limit=NEWEST_JOBS)["data"]
way(
    [file for file in files if file["filename"] not in starter.FILES],
    [verifier for verifier in verifiers if verifier["name"] != starter.VERIFIER],
    [job for job in newest if not is_tour(job)],
)
toured = next((job for job in newest if is_tour(job) and job["status"] not in ("failed", "cancelled")), None)
if toured is None and not any(job["status"] == "succeeded" for job in newest):
    tour.offer(client)
now()
