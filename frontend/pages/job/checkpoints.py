"""The states of the model that a job keeps on its way: how good each was, and what can be done with it."""

import time
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import Json
from frontend.components import downloads
from frontend.components.job_feed import JobFeed
from frontend.words import units

READ = "checkpoints_read"
FOLLOW_S = 6.0
"""Seconds between two looks at those of a running job."""


@dataclass(frozen=True, slots=True)
class CachedCheckpoints:
    """Those of a job in this state, as last seen."""

    job_id: str
    status: str
    read_at: float
    found: list[Json]


def panel(feed: JobFeed, client: Client, *, zone: ZoneInfo) -> None:
    st.caption(
        "A checkpoint is the model as it was after a step. A job goes on from the last one after a pause, and keeps "
        "the last ones and the best."
    )
    found = _read(feed, client)
    if not found:
        st.info(
            "This job has kept none." if feed.ended else "The first one comes while it trains.",
            icon=":material/hourglass_empty:",
        )
        return
    best = max((c["metrics"]["x_score"] for c in found if c["metrics"]["x_score"] is not None), default=None)
    for checkpoint in found:
        with st.container(
            border=True, horizontal=True, vertical_alignment="center", key=f"checkpoint_{checkpoint['id']}"
        ):
            _row(feed, checkpoint, best=best, zone=zone)
    if not feed.ended:
        st.caption("Models to take home are made of checkpoints once the job has ended: until then older ones go.")


def _read(feed: JobFeed, client: Client) -> list[Json]:
    """Once, and of a job that still moves every few seconds in place of a tick."""
    kept: CachedCheckpoints | None = st.session_state.get(READ)
    now, status = time.monotonic(), feed.job["status"]
    same = kept is not None and (kept.job_id, kept.status) == (feed.job_id, status)
    if kept is not None and same and (feed.ended or now - kept.read_at < FOLLOW_S):
        return kept.found
    feed.owed += 0 if feed.ended else 1
    kept = CachedCheckpoints(feed.job_id, status, now, client.checkpoints(feed.job_id))
    st.session_state[READ] = kept
    return kept.found


def _row(feed: JobFeed, checkpoint: Json, *, best: float | None, zone: ZoneInfo) -> None:
    score = checkpoint["metrics"]["x_score"]
    with st.container(width="stretch", gap=None):
        before = ", before training" if checkpoint["step_number"] == 0 else ""
        st.markdown(f"**Step {checkpoint['step_number']:,}**{before}")
        held_out = "held-out score not measured at this step" if score is None else f"held-out score {score:.3f}"
        size = units.size(checkpoint["x_size_bytes"])
        st.caption(f"{held_out} · {units.moment(checkpoint['created_at'], zone)} · {size}")
    if score is not None and score == best:
        st.badge("Best", icon=":material/star:", color="green")
    st.page_link(
        "pages/playground/page.py",
        label="Ask it beside its base",
        icon=":material/forum:",
        query_params={"left": feed.job["model"], "right": checkpoint["fine_tuned_model_checkpoint"]},
    )
    if feed.ended:
        st.button(
            "Download",
            icon=":material/download:",
            key=f"take_{checkpoint['id']}",
            on_click=_take,
            args=(checkpoint["id"],),
            help="As a model of its own, merged or as GGUF.",
        )


def _take(checkpoint_id: str) -> None:
    """The part Downloads, with this one chosen."""
    st.session_state["view"] = downloads.PART
    st.session_state[downloads.OF] = checkpoint_id
