"""The first-run tour: one press takes the starter from its rows to a trained model, and the job's page explains it."""

import io

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json
from frontend.components import rights
from frontend.components.job_feed import JobFeed
from frontend.widgets import problems
from frontend.words import starter
from frontend.words.held_out import Judgement, judged

MOST_FILES = 100


def offer(client: Client) -> None:
    """The card on Home; nothing where the starter is not at hand."""
    found = starter.read()
    if found is None:
        return
    with st.container(border=True, key="tour"):
        st.subheader("New here? See it work once", anchor=False)
        st.write(
            "The starter is a small model that has learnt the rule book of an invented company half wrong. In a few "
            "minutes on a laptop, without a GPU, you see it get better: 400 questions, a verifier that reads the last "
            "line, and 60 training steps. Nothing leaves this machine."
        )
        if rights.button(
            client, "Try it with the starter", type="primary", icon=":material/rocket_launch:", key="tour_start"
        ):
            _start(client, found)


def _start(client: Client, found: starter.Starter) -> None:
    try:
        with st.status("Setting up the starter…", expanded=True) as status:
            st.write("Uploading 400 questions to train on, and 200 others to measure with…")
            training = _file(client, found.training, name=starter.TRAINING)
            held_out = _file(client, found.held_out, name=starter.HELD_OUT)
            st.write("Saving the verifier…")
            verifier = _verifier(client, found.grader)
            st.write("Starting the job…")
            body = starter.job_body(found, training=training, held_out=held_out, verifier=verifier)
            job = client.create_job(body)["id"]
            status.update(label="Ready", state="complete")
    except ApiError as error:
        problems.show(error, title="The tour could not be started")
        return
    st.switch_page("pages/job/page.py", query_params={"job": job})


def _file(client: Client, content: bytes, *, name: str) -> str:
    """The id of the file, which an earlier tour may have uploaded."""
    for file in client.files(limit=MOST_FILES)["data"]:
        if (file["filename"], file["bytes"], file["status"]) == (name, len(content), "processed"):
            return str(file["id"])
    return client.upload(io.BytesIO(content), filename=name, mapping=None)["id"]


def _verifier(client: Client, grader: Json) -> str:
    for verifier in client.verifiers()["data"]:
        if verifier["name"] == starter.VERIFIER and verifier["grader"].get("pattern") == grader["pattern"]:
            return str(verifier["id"])
    return client.create_verifier(name=starter.VERIFIER, grader=grader)["id"]


def guide(feed: JobFeed) -> None:
    """On the page of the tour's job: what is to be seen now."""
    if starter.is_tour(feed.job):
        judgement = judged(feed.evaluations, job=feed.job) or "undecided"
        so_far = phase(feed.job["status"], step=feed.step, max_steps=feed.max_steps, judgement=judgement)
        title, text = WORDS[so_far]
        st.info(text, title=f"Tour: {title}", icon=":material/explore:")


def phase(status: str, *, step: int, max_steps: int, judgement: Judgement) -> str:
    """Which of the tour's notes belongs to a job that is so far; `judgement` of one that is done."""
    if status == "succeeded":
        return judgement
    if status == "running":
        return "before" if step == 0 else "after" if step >= max_steps else "learning"
    return {"validating_files": "before", "pausing": "paused"}.get(status, status)


WORDS = {
    "queued": ("waiting for a worker", "The job stands in the queue; a free worker takes it within seconds."),
    "before": (
        "how good is it now?",
        (
            "The verifier is tried first, then the untrained model answers 200 questions that are kept out of "
            "training. That score is what training has to beat."
        ),
    ),
    "learning": (
        "it learns",
        (
            "Each step, 8 questions are answered 8 times each. The reward is the share that the verifier calls right. "
            "Only mixed groups teach: look at “Completions”, and press “Token credit” to see which words the teacher "
            "blames."
        ),
    ),
    "after": ("measuring again", "The trained model answers the same 200 questions. Soon you know."),
    "better": (
        "a better model",
        (
            "Under “Learning”: before and after, on questions that it never trained on. The adapter is yours: download "
            "it, talk to it in the playground, or go on with rows of your own under “Datasets”."
        ),
    ),
    "undecided": (
        "no clear difference",
        (
            "Under “Learning”: before and after, on questions that it never trained on. The difference is so small "
            "that it may be luck, which happens in a run this short. “Train again with changes” with more steps."
        ),
    ),
    "worse": (
        "not better this time",
        (
            "Under “Learning”: before and after, on questions that it never trained on. It does worse than before. "
            "“Train again with changes” with a smaller learning rate."
        ),
    ),
    "nothing_learned": (
        "nothing was learned",
        (
            "In every step all completions of a question scored the same, so there was nothing to learn from. “Train "
            "again with changes”, and fly the pre-flight first."
        ),
    ),
    "failed": ("it did not work out", "Why stands above. Home starts another."),
    "paused": ("standing still", "Press “Resume” to go on."),
    "cancelled": ("cancelled", "Home starts another."),
}
"""(title, text) by phase."""
