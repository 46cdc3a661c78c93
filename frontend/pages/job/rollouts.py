"""What the model wrote: cards with filters and search; from each the way to its group and to its tokens' credit.

The address says what is open (`?group=STEP-ROW`, `?rollout=rollout-…`), what the cards are narrowed to, and after which
completion they begin (`?after=rollout-…`).
"""

import json
import re
import time
from dataclasses import dataclass

import streamlit as st

from frontend.api import Client
from frontend.api.types import Page, Rollout, Row
from frontend.components import asked_rows
from frontend.components.job_feed import JobFeed
from frontend.pages.job import credit, rollout_group
from frontend.session import state
from frontend.widgets import paging, problems
from frontend.words import units
from frontend.words.markdown import plain
from frontend.words.rollouts import OUTCOMES, RolloutQuery, Scope

PAGE, MOST = 12, 100
FOLLOW_S = 6.0
"""Seconds between two looks at the newest completions of a running job."""
SHOWN, READ = "rollouts_shown", "rollouts_read"
SCOPES: dict[Scope, str] = {"newest": "Newest step", "one": "One step", "all": "All steps"}
CARD_PX, TEXT_PX = 360, 150
MAX_SEARCH_CHARACTERS = 200
OPEN = ("rollout", "group")
"""What may be open in place of the cards, by its name in the address; the innermost first."""


@dataclass(frozen=True, slots=True)
class CachedRollouts:
    """Completions as read, for these filters; they do not change. `step` was the newest one."""

    asked: str
    step: int
    read_at: float
    page: Page


def panel(feed: JobFeed, client: Client) -> None:
    if feed.step == 0:
        st.info("Completions appear with the first step.", icon=":material/hourglass_empty:")
        return
    rollout_id, group = state.address("rollout"), _group_of_address()
    if not (rollout_id or group):
        wanted = _filters(feed)
        _cards(feed, client, _found(feed, client, wanted), wanted)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        name = "rollout" if rollout_id else "group"
        st.button(
            "Back", icon=":material/arrow_back:", key="rollouts_back", type="tertiary", on_click=_close, args=(name,)
        )
        with st.popover("Filters", icon=":material/filter_alt:", type="tertiary", key="rollouts_filters"):
            _filters(feed)  # they stay in the address only while they stand on the page
    with problems.shown():
        if rollout_id:
            credit.show(feed, client, rollout_id)
        elif group:
            rollout_group.show(feed, client, step=group[0], row=group[1])


def _close(*names: str) -> None:
    for name in names:
        st.query_params.pop(name, None)


def _narrow() -> None:
    """Back to the first of the cards."""
    _close(*OPEN)
    paging.to_first()


def _group_of_address() -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d{1,9})-(\d{1,9})", state.address("group") or "", re.ASCII)
    return None if match is None else (int(match[1]), int(match[2]))


def _step_of_place() -> int | None:
    """The step in which the cards go on, where the newest one has more of them than are read at once."""
    match = re.fullmatch(r"rollout-(\d{1,9})-\d{1,9}", paging.after() or "", re.ASCII)
    return None if match is None else int(match[1])


def _filters(feed: JobFeed) -> RolloutQuery:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        scope: Scope = st.segmented_control(
            "From",
            list(SCOPES),
            format_func=SCOPES.__getitem__,
            default="newest",
            required=True,
            key="scope",
            bind="query-params",
            on_change=_narrow,
        )
        step = _step_of_place() or feed.step
        if scope == "one":
            step = int(
                st.number_input(
                    "Step", 1, feed.max_steps, 1, key="step", width=130, bind="query-params", on_change=_narrow
                )
            )
        row = st.number_input(
            "Dataset row",
            0,
            value=None,
            placeholder="any",
            key="row",
            width=150,
            bind="query-params",
            on_change=_narrow,
        )
        search = st.text_input(
            "Text in the completion",
            max_chars=MAX_SEARCH_CHARACTERS,
            placeholder="any",
            key="text",
            width=240,
            icon=":material/search:",
            bind="query-params",
            on_change=_narrow,
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        outcomes = st.pills(
            "Verdict",
            list(OUTCOMES),
            format_func=lambda name: OUTCOMES[name].label,
            selection_mode="multi",
            key="verdict",
            bind="query-params",
            on_change=_narrow,
        )
        mixed = st.toggle(
            "Mixed groups only",
            key="mixed",
            bind="query-params",
            on_change=_narrow,
            help="Questions that were answered both right and wrong in the same step: only they teach something.",
        )
        with_tokens = st.toggle(
            "With token credit only",
            key="credit",
            bind="query-params",
            on_change=_narrow,
            help="Kept for a share of the completions.",
        )
    return RolloutQuery(
        scope=scope,
        step=step if scope != "all" else None,
        row=None if row is None else int(row),
        outcomes=tuple(outcomes),
        mixed=mixed,
        with_tokens=with_tokens,
        search=search,
    )


def _found(feed: JobFeed, client: Client, wanted: RolloutQuery) -> CachedRollouts:
    """Read once for these filters; the newest of a running job every few seconds, in place of a tick."""
    after = paging.after()
    following = wanted.scope != "one" and after is None
    filters = wanted.filters
    asked = json.dumps([feed.job_id, after, wanted.scope, filters | ({"step": 0} if following else {})], sort_keys=True)
    kept: CachedRollouts | None = st.session_state.get(READ)
    now = time.monotonic()
    if kept is not None and kept.asked == asked:
        if not following or kept.step == feed.step or (not feed.ended and now - kept.read_at < FOLLOW_S):
            return kept
    else:
        st.session_state[SHOWN] = PAGE
    feed.owed += 0 if feed.ended else 1
    page = client.rollouts(
        feed.job_id, filters=filters, after=after, limit=MOST, order="desc" if wanted.scope == "all" else "asc"
    )
    kept = CachedRollouts(asked, feed.step, now, page)
    st.session_state[READ] = kept
    return kept


def _cards(feed: JobFeed, client: Client, found: CachedRollouts, wanted: RolloutQuery) -> None:
    rollouts: list[Rollout] = found.page["data"]
    st.caption(_counted(found, wanted))
    if not rollouts:
        st.info("No completion fits these filters.", icon=":material/filter_alt_off:")
    shown = st.session_state.get(SHOWN, PAGE)
    cards = rollouts[:shown]
    questions = asked_rows.of(feed, client, {rollout["row"] for rollout in cards})
    with st.grid(min_column_width=CARD_PX):
        for rollout in cards:
            with st.container(border=True, height="stretch", key=f"card_{rollout['id']}"):
                _card(feed, rollout, questions.get(rollout["row"]))
    if shown < len(rollouts):
        st.button(
            f"Show more ({len(rollouts) - shown:,} left)",
            icon=":material/expand_more:",
            key="rollouts_more",
            on_click=lambda: st.session_state.update({SHOWN: shown + PAGE}),
        )
    else:
        paging.turn(found.page, first="To the first", further=f"Further {MOST}")


def _counted(found: CachedRollouts, wanted: RolloutQuery) -> str:
    """`All steps: the newest 100 completions that fit.`"""
    where = "All steps" if wanted.scope == "all" else f"Step {wanted.step or found.step:,}"
    number = units.count(len(found.page["data"]), "completion")
    which = ""
    if paging.after() is not None:
        which = "further "
    elif found.page["has_more"]:
        which = "the newest " if wanted.scope == "all" else "the first "
    return f"{where}: {which}{number}{' that fit' if wanted.narrowed else ''}."


def _card(feed: JobFeed, rollout: Rollout, question: Row | None) -> None:
    if question is not None:
        st.markdown(f"**{plain(asked_rows.first_line(question))}**")
    st.caption(f"Row {rollout['row']:,}, step {rollout['step']:,}, sample {rollout['sample']}")
    credit.head(feed, rollout)
    credit.text(rollout, height_px=TEXT_PX)
    if rollout["record"]["reason"]:
        st.caption(rollout["record"]["reason"][:300])
    with st.container(horizontal=True):
        rollout_group.link(rollout, key="card")
        if rollout["has_tokens"]:
            credit.link(rollout, key="card")
