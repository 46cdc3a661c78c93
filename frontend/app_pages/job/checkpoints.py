"""The checkpoints of a job: their held-out scores, and links to try and to download them."""

import time
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import CheckpointObject
from frontend.components import downloads
from frontend.components.job_feed import JobFeed
from frontend.words import held_out, units

READ = "checkpoints_read"
FOLLOW_S = 6.0
"""Poll interval for a running job, in seconds."""


@dataclass(frozen=True, slots=True)
class CachedCheckpoints:
    """The checkpoints of a job in this state, as last read."""

    job_id: str
    status: str
    read_at: float
    found: list[CheckpointObject]


def panel(feed: JobFeed, client: Client, *, zone: ZoneInfo) -> None:
    st.caption(
        "A checkpoint is the model after a step. After a pause, a job continues from its last checkpoint. It keeps the "
        "newest checkpoints and the best one."
    )
    found = _read(feed, client)
    if not found:
        st.info(
            "This job has no checkpoints." if feed.ended else "The first checkpoint appears during training.",
            icon=":material/hourglass_empty:",
        )
        return
    scores = [score for checkpoint in found if (score := checkpoint["metrics"]["x_score"]) is not None]
    best = max(scores, default=None) if scores.count(max(scores, default=0.0)) == 1 else None  # a tie has no best
    for checkpoint in found:
        with st.container(
            border=True, horizontal=True, vertical_alignment="center", key=f"checkpoint_{checkpoint['id']}"
        ):
            _row(feed, checkpoint, best=best, zone=zone)
    if not feed.ended:
        st.caption("Checkpoints can be downloaded once the job has ended. Until then, older ones are deleted.")


def _read(feed: JobFeed, client: Client) -> list[CheckpointObject]:
    """Read the checkpoints: once, or every few seconds while the job runs, in place of a tick."""
    kept: CachedCheckpoints | None = st.session_state.get(READ)
    now, status = time.monotonic(), feed.job["status"]
    same = kept is not None and (kept.job_id, kept.status) == (feed.job_id, status)
    if kept is not None and same and (feed.ended or now - kept.read_at < FOLLOW_S):
        return kept.found
    feed.ticks_to_skip += 0 if feed.ended else 1
    kept = CachedCheckpoints(feed.job_id, status, now, client.checkpoints(feed.job_id))
    st.session_state[READ] = kept
    return kept.found


def _row(feed: JobFeed, checkpoint: CheckpointObject, *, best: float | None, zone: ZoneInfo) -> None:
    score = checkpoint["metrics"]["x_score"]
    with st.container(width="stretch", gap=None):
        before = ", before training" if checkpoint["step_number"] == 0 else ""
        st.markdown(f"**Step {checkpoint['step_number']:,}**{before}")
        measured = "score on the questions that choose" if _chooses(feed) else "held-out score"
        scored = f"no {measured} at this step" if score is None else f"{measured} {score:.3f}"
        size = units.size(checkpoint["x_size_bytes"])
        st.caption(f"{scored} · {units.moment(checkpoint['created_at'], zone)} · {size}")
    if _chooses(feed) and checkpoint["step_number"] == _kept_step(feed):
        st.badge("Kept", icon=":material/star:", color="green")
    elif not _chooses(feed) and score is not None and score == best:
        st.badge("Best", icon=":material/star:", color="green")
    st.page_link(
        "app_pages/playground/page.py",
        label="Compare with base model",
        icon=":material/forum:",
        query_params={"left": feed.job["model"], "right": checkpoint["fine_tuned_model_checkpoint"]},
    )
    if feed.ended:
        st.button(
            "Download",
            icon=":material/download:",
            key=f"take_{checkpoint['id']}",
            on_click=_open_downloads,
            args=(checkpoint["id"],),
            help="As a merged model or as GGUF.",
        )


def _chooses(feed: JobFeed) -> bool:
    """Report whether half of the held-out questions choose which step is kept."""
    return bool(feed.job["method"]["reinforcement"]["x_rlsd"].get("keep") == "best")


def _kept_step(feed: JobFeed) -> int | None:
    after = held_out.measured(feed.evaluations, "trained")
    return None if after is None else after["step"]


def _open_downloads(checkpoint_id: str) -> None:
    """Open the Downloads tab with this checkpoint chosen."""
    st.session_state["view"] = downloads.PART
    st.session_state[downloads.OF] = checkpoint_id
