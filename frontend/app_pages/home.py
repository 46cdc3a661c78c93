"""Home: what runs, what comes next."""

from collections.abc import Sequence

import streamlit as st

from frontend import state
from frontend.components import job_list, problems
from frontend.job_states import MOVING
from frontend.shapes import DataFile, Job, Verifier

REFRESH_S = 4.0
NEWEST_JOBS = 20

client, zone = state.client(), state.zone()


def way(files: Sequence[DataFile], verifiers: Sequence[Verifier], jobs: Sequence[Job]) -> None:
    """The four steps to a trained adapter; the first one not done yet stands out."""
    steps = [
        ("Upload data", "Questions with their answers, one JSON object a line.", bool(files), "datasets"),
        ("Write a verifier", "The rule that says whether an answer is right.", bool(verifiers), "verifiers"),
        ("Train", "Choose data, verifier and model; watch it learn.", bool(jobs), "new_job"),
        (
            "Take the adapter home",
            "Compare before and after, then download.",
            any(job["status"] == "succeeded" for job in jobs),
            "jobs",
        ),
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


@st.fragment(run_every=REFRESH_S)
def newest_jobs() -> None:
    with problems.shown():
        jobs = client.jobs(limit=NEWEST_JOBS)["data"]
        moving = [job for job in jobs if job["status"] in MOVING]
        recent = [job for job in jobs if job["status"] not in MOVING][:3]
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
files, verifiers = client.files(limit=1)["data"], client.verifiers(limit=1)["data"]
jobs = client.jobs(limit=NEWEST_JOBS)["data"]
way(files, verifiers, jobs)
if not files:
    st.info(
        "The file `examples/starter/train.jsonl` of the Workbench and the model `starter` go together: "
        "a chain of look-ups in an invented company's rule book. Training takes about a minute on a laptop.",
        title="New here? Begin with the starter",
        icon=":material/lightbulb:",
    )
if jobs:
    newest_jobs()
