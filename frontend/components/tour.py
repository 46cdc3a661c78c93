"""The first-run tour: one click trains the starter model on its own data, and the job page explains each phase."""

import io

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json, Verdict
from frontend.components import rights
from frontend.components.job_feed import JobFeed
from frontend.widgets import problems
from frontend.words import starter
from frontend.words.held_out import verdict_of

MOST_FILES = 100


def offer(client: Client) -> None:
    """Show the card on Home; nothing if the UI lacks the starter's rows, or the server its model."""
    found = starter.read()
    if found is None or starter.MODEL not in {model["id"] for model in client.models()}:
        return
    with st.container(border=True, key="tour"):
        st.subheader("New here? Try an example", anchor=False)
        st.write(
            "The starter is a small model that has learned the rule book of a fictional company, half of it wrong. It "
            "improves in a few minutes on a laptop, without a GPU: 400 questions, a verifier that reads the last line, "
            "and 60 training steps. No data leaves this machine."
        )
        if rights.button(
            client, "Try it with the starter", type="primary", icon=":material/rocket_launch:", key="tour_start"
        ):
            _start(client, found)


def _start(client: Client, found: starter.Starter) -> None:
    try:
        with st.status("Setting up the starter…", expanded=True) as status:
            st.write("Uploading 400 training questions and 200 held-out questions…")
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
    st.switch_page("app_pages/job/page.py", query_params={"job": job})


def _file(client: Client, content: bytes, *, name: str) -> str:
    """Return the file's id; upload it unless an earlier tour did."""
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
    """Show the tour's note for the current phase, on the page of its job."""
    if starter.is_tour(feed.job):
        judgement = verdict_of(feed.job) or "undecided"
        current = phase(feed.job["status"], step=feed.step, max_steps=feed.max_steps, judgement=judgement)
        title, text = WORDS[current]
        st.info(text, title=f"Tour: {title}", icon=":material/explore:")


def phase(status: str, *, step: int, max_steps: int, judgement: Verdict) -> str:
    """Return the tour's phase for a job's state. `judgement`: of a succeeded job."""
    if status == "succeeded":
        return judgement
    if status == "running":
        return "before" if step == 0 else "after" if step >= max_steps else "learning"
    return {"validating_files": "before", "pausing": "paused"}.get(status, status)


WORDS = {
    "queued": ("waiting for a worker", "The job is in the queue; a free worker takes it within seconds."),
    "before": (
        "how good is the model now?",
        (
            "The verifier is checked first. Then the untrained model answers 200 held-out questions, which are never "
            "trained on. Training has to beat that score."
        ),
    ),
    "learning": (
        "the model is learning",
        (
            "In each step, 8 questions are answered 8 times each. The reward is the share that the verifier scores as "
            "right. Only groups with right and wrong answers have a signal. To see which tokens the teacher credits or "
            "blames, open “Completions”, switch on “Mixed groups only” and “With token credit only”, then press “Token "
            "credit”."
        ),
    ),
    "after": ("evaluating again", "The trained model answers the same 200 held-out questions."),
    "better": (
        "a better model",
        (
            "“Learning” shows the scores before and after, on questions that were never trained on. You can download "
            "the adapter, try it in the playground, or continue with your own data under “Datasets”."
        ),
    ),
    "undecided": (
        "no clear difference",
        (
            "“Learning” shows the scores before and after, on questions that were never trained on. The difference is "
            "so small that it may be chance, as can happen in so short a run. Use “Train again with changes” with "
            "more steps."
        ),
    ),
    "worse": (
        "worse than before",
        (
            "“Learning” shows the scores before and after, on questions that were never trained on. Use “Train again "
            "with changes” with a lower learning rate."
        ),
    ),
    "nothing_learned": (
        "nothing was learned",
        (
            "In every step, all completions of a question scored the same, so there was no signal. Use “Train again "
            "with changes”, and run the pre-flight first."
        ),
    ),
    "failed": ("the job failed", "The reason is shown above. Start the tour again from Home."),
    "paused": ("paused", "Click “Resume” to continue."),
    "cancelled": ("cancelled", "Start the tour again from Home."),
}
"""(title, text) by phase."""
