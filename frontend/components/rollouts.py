"""What the model wrote: a table with filters, one completion in full, its tokens coloured."""

import time
from dataclasses import dataclass
from typing import Any

import streamlit as st

from frontend import units
from frontend.client import Client
from frontend.components import problems, token_view, verdict
from frontend.feed import JobFeed
from frontend.shapes import Rollout, Tokens

MOST = 500
FOLLOW_S = 6.0
"""Seconds between two looks at the newest step of a running job."""
VERDICTS = {"right": "right", "wrong": "wrong", "fault": "error or timeout", "abstain": "abstained"}
RIGHT_ABOVE = 0.5


def kind_of(rollout: Rollout) -> str:
    record = rollout["record"]
    if record["status"] in ("error", "timeout"):
        return "fault"
    if record["score"] is None:
        return "abstain"
    return "right" if record["score"] > RIGHT_ABOVE else "wrong"


def panel(feed: JobFeed, client: Client) -> None:
    if feed.step == 0:
        st.caption("Completions appear with the first step.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        newest = st.toggle("Newest step", value=True, key="rollouts_newest", help="Follow the job as it goes on.")
        step = feed.step
        if not newest:
            step = int(st.number_input("Step", 1, feed.step, min(feed.step, 1), key="rollouts_step"))
        kinds = st.pills(
            "Verdict", list(VERDICTS), format_func=VERDICTS.__getitem__, selection_mode="multi", key="rollouts_kinds"
        )
        with_tokens = st.toggle("With token view", key="rollouts_tokens", help="Kept for a share of the completions.")
    kept = _at_step(feed, client, step, following=newest)
    found = kept.rollouts
    row = _row_filter(found)
    shown = [
        rollout
        for rollout in found
        if (not kinds or kind_of(rollout) in kinds)
        and (not with_tokens or rollout["has_tokens"])
        and (row is None or rollout["row"] == row)
    ]
    first = "the first " if kept.has_more else ""
    st.caption(f"Step {kept.step:,}: {units.count(len(shown), 'completion')} of {first}{len(found):,}.")
    if not shown:
        st.info("No completion fits these filters.", icon=":material/filter_alt_off:")
        return
    _one(feed, client, shown, place=_table(shown))


@dataclass(frozen=True, slots=True)
class Kept:
    """A step's completions as read; they do not change."""

    job_id: str
    step: int
    read_at: float
    rollouts: list[Rollout]
    has_more: bool


def _at_step(feed: JobFeed, client: Client, step: int, *, following: bool) -> Kept:
    """Read a step once; while following a job, go on to its newest step every few seconds only."""
    kept: Kept | None = st.session_state.get("rollouts_kept")
    now = time.monotonic()
    if kept is not None and kept.job_id == feed.job_id:
        fresh = following and not feed.ended and now - kept.read_at < FOLLOW_S
        if kept.step == step or fresh:
            return kept
    page = client.rollouts(feed.job_id, step=step, row=None, after=None, limit=MOST)
    kept = Kept(job_id=feed.job_id, step=step, read_at=now, rollouts=page["data"], has_more=page["has_more"])
    st.session_state["rollouts_kept"] = kept
    return kept


def _tokens(feed: JobFeed, client: Client, rollout_id: str) -> Tokens:
    """Read once while the same completion is shown."""
    kept: tuple[str, str, Tokens] | None = st.session_state.get("tokens_kept")
    if kept is None or kept[:2] != (feed.job_id, rollout_id):
        kept = (feed.job_id, rollout_id, client.tokens(feed.job_id, rollout_id))
        st.session_state["tokens_kept"] = kept
    return kept[2]


def _row_filter(found: list[Rollout]) -> int | None:
    rows = sorted({rollout["row"] for rollout in found})
    return st.selectbox("Dataset row", rows, index=None, placeholder="all rows of this step", key="rollouts_row")


def _table(shown: list[Rollout]) -> int:
    """The table; returns the place of the chosen line."""
    table = [_line(rollout) for rollout in shown]
    chosen: Any = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=min(38 + 35 * len(shown), 320),
        key="rollouts_table",
        alt="Completions of the step with their verdicts",
        column_config={
            "completion": st.column_config.TextColumn(width="large"),
            "score": st.column_config.NumberColumn(format="%.2f"),
            "advantage": st.column_config.NumberColumn(format="%+.2f", help="The group's mean is 0."),
            "tokens": st.column_config.CheckboxColumn(help="The token view is there."),
        },
    )
    lines = chosen.selection.rows
    return (
        lines[0]
        if lines and lines[0] < len(shown)
        else next((place for place, rollout in enumerate(shown) if rollout["has_tokens"]), 0)
    )


def _line(rollout: Rollout) -> dict[str, Any]:
    return {
        "row": rollout["row"],
        "sample": rollout["sample"],
        "verdict": VERDICTS[kind_of(rollout)],
        "score": rollout["record"]["score"],
        "advantage": rollout["advantage"],
        "completion": rollout["completion"],
        "cut off": bool(rollout["truncated"]),
        "tokens": bool(rollout["has_tokens"]),
    }


def _one(feed: JobFeed, client: Client, shown: list[Rollout], *, place: int) -> None:
    rollout = shown[place]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Row {rollout['row']}, sample {rollout['sample']}**", width="content")
            verdict.badge(rollout["record"])
            score = rollout["record"]["score"]
            st.caption(f"score {'none' if score is None else f'{score:g}'}", width="content")
            st.caption(f"advantage {rollout['advantage']:+.2f}", width="content")
        if rollout["record"]["reason"]:
            st.caption(rollout["record"]["reason"])
        if rollout["has_tokens"]:
            with problems.shown():
                token_view.show(_tokens(feed, client, rollout["id"]), key="tokens")
        else:
            st.code(rollout["completion"], language=None, wrap_lines=True)
            st.caption("Choose a line of the table to see another completion; those with tokens show their credit.")
