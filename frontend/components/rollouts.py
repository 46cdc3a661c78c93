"""What the model wrote: cards with filters and search; from each the way to its group and to its tokens' credit.

The address says what is open: `?group=STEP-ROW`, `?rollout=rollout-…`.
"""

import json
import re
import time
from dataclasses import dataclass

import streamlit as st

from frontend import state, units
from frontend.client import Client
from frontend.components import credit, problems, rollout_group
from frontend.feed import JobFeed
from frontend.rollout_words import OUTCOMES, Scope, Wanted
from frontend.shapes import Rollout

PAGE, MOST = 12, 100
FOLLOW_S = 6.0
"""Seconds between two looks at the newest step of a running job."""
SHOWN, READ = "rollouts_shown", "rollouts_read"
SCOPES: dict[Scope, str] = {"newest": "Newest step", "one": "One step", "all": "All steps"}
CARD_PX, TEXT_PX = 360, 150
MAX_SEARCH_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Read:
    """Completions as read, for these filters; they do not change."""

    asked: str
    step: int | None
    read_at: float
    rollouts: list[Rollout]
    has_more: bool


def panel(feed: JobFeed, client: Client) -> None:
    if feed.step == 0:
        st.info("Completions appear with the first step.", icon=":material/hourglass_empty:")
        return
    rollout_id, group = state.address("rollout"), _group_of_address()
    if rollout_id or group:
        st.button(
            "Back",
            icon=":material/arrow_back:",
            key="rollouts_back",
            type="tertiary",
            on_click=_close,
            args=("rollout" if rollout_id else "group",),
        )
        with problems.shown():
            if rollout_id:
                credit.show(feed, client, rollout_id)
            elif group:
                rollout_group.show(feed, client, step=group[0], row=group[1])
        return
    wanted = _filters(feed)
    found = _found(feed, client, wanted)
    _cards(feed, found, wanted)


def _close(name: str) -> None:
    st.query_params.pop(name, None)


def _group_of_address() -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d{1,9})-(\d{1,9})", state.address("group") or "", re.ASCII)
    return None if match is None else (int(match[1]), int(match[2]))


def _filters(feed: JobFeed) -> Wanted:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        scope: Scope = st.segmented_control(
            "From", list(SCOPES), format_func=SCOPES.__getitem__, default="newest", required=True, key="rollouts_scope"
        )
        step = feed.step
        if scope == "one":
            step = int(st.number_input("Step", 1, feed.step, min(feed.step, 1), key="rollouts_step", width=130))
        row = st.number_input("Dataset row", 0, value=None, placeholder="any", key="rollouts_row", width=150)
        search = st.text_input(
            "Text in the completion",
            max_chars=MAX_SEARCH_CHARACTERS,
            placeholder="any",
            key="rollouts_search",
            width=240,
            icon=":material/search:",
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        outcomes = st.pills(
            "Verdict",
            list(OUTCOMES),
            format_func=lambda name: OUTCOMES[name].label,
            selection_mode="multi",
            key="rollouts_kinds",
        )
        mixed = st.toggle(
            "Mixed groups only",
            key="rollouts_mixed",
            help="Questions that were answered both right and wrong in the same step: only they teach something.",
        )
        with_tokens = st.toggle(
            "With token credit only", key="rollouts_tokens", help="Kept for a share of the completions."
        )
    return Wanted(
        scope=scope,
        step=step if scope != "all" else None,
        row=None if row is None else int(row),
        outcomes=tuple(outcomes),
        mixed=mixed,
        with_tokens=with_tokens,
        search=search,
    )


def _found(feed: JobFeed, client: Client, wanted: Wanted) -> Read:
    """Read once for these filters; while following a job, its newest step every few seconds, in place of a tick."""
    following = wanted.scope == "newest"
    asked = json.dumps([feed.job_id, wanted.filters | ({"step": 0} if following else {})], sort_keys=True)
    kept: Read | None = st.session_state.get(READ)
    now = time.monotonic()
    if kept is not None and kept.asked == asked:
        if kept.step == wanted.step or (not feed.ended and now - kept.read_at < FOLLOW_S):
            return kept
        feed.owed += 0 if feed.ended else 1
    else:
        st.session_state[SHOWN] = PAGE
    page = client.rollouts(
        feed.job_id, filters=wanted.filters, after=None, limit=MOST, order="desc" if wanted.scope == "all" else "asc"
    )
    kept = Read(asked, wanted.step, now, page["data"], page["has_more"])
    st.session_state[READ] = kept
    return kept


def _cards(feed: JobFeed, found: Read, wanted: Wanted) -> None:
    where = "All steps" if found.step is None else f"Step {found.step:,}"
    number = units.count(len(found.rollouts), "completion")
    first = "the first " if found.has_more and found.step is not None else "the newest " if found.has_more else ""
    st.caption(f"{where}: {first}{number}{' that fit' if wanted.narrowed else ''}.")
    if not found.rollouts:
        st.info("No completion fits these filters.", icon=":material/filter_alt_off:")
        return
    shown = st.session_state.get(SHOWN, PAGE)
    with st.grid(min_column_width=CARD_PX):
        for rollout in found.rollouts[:shown]:
            with st.container(border=True, height="stretch", key=f"card_{rollout['id']}"):
                _card(feed, rollout)
    if shown < len(found.rollouts):
        st.button(
            f"Show more ({len(found.rollouts) - shown:,} left)",
            icon=":material/expand_more:",
            key="rollouts_more",
            on_click=lambda: st.session_state.update({SHOWN: shown + PAGE}),
        )
    elif found.has_more:
        st.caption("There are more: narrow the filters to see them.")


def _card(feed: JobFeed, rollout: Rollout) -> None:
    place = f"step {rollout['step']:,} · " if st.session_state.get("rollouts_scope") == "all" else ""
    st.markdown(f"**Row {rollout['row']:,}** · {place}sample {rollout['sample']}")
    credit.head(feed, rollout)
    credit.text(rollout, height_px=TEXT_PX)
    if rollout["record"]["reason"]:
        st.caption(rollout["record"]["reason"][:300])
    with st.container(horizontal=True):
        rollout_group.link(rollout, key="card")
        if rollout["has_tokens"]:
            credit.link(rollout, key="card")
