"""The Completions tab: cards with filters and search; each links to its group and to its token credit.

The address contains what is open (`?group=STEP-ROW`, `?group=STEP-ROW-practice`, `?rollout=rollout-…`), the filters
of the cards, and the completion after which they start (`?after=rollout-…`).
"""

import json
import re
import time
from dataclasses import dataclass

import streamlit as st

from frontend.api import Client
from frontend.api.types import FileRow, Page, RolloutObject
from frontend.app_pages.job import credit, rollout_group
from frontend.components import asked_rows
from frontend.components.job_feed import JobFeed
from frontend.session import state
from frontend.widgets import paging, problems
from frontend.words import units
from frontend.words.markdown import plain
from frontend.words.rollouts import OUTCOMES, RolloutQuery, Scope, practises

PAGE, MOST = 12, 100
FOLLOW_S = 6.0
"""Poll interval for the newest completions of a running job, in seconds."""
SHOWN, READ = "rollouts_shown", "rollouts_read"
SCOPES: dict[Scope, str] = {"newest": "Newest step", "one": "One step", "all": "All steps"}
CARD_PX, TEXT_PX = 360, 150
HINT_CHARACTERS = 120
MAX_SEARCH_CHARACTERS = 200
OPEN = ("rollout", "group")
"""Query names of the views that can be open in place of the cards; the innermost first."""


@dataclass(frozen=True, slots=True)
class CachedRollouts:
    """Completions as read for these filters; they do not change. `step`: the newest step at that time."""

    request: str
    step: int
    read_at: float
    page: Page[RolloutObject]


def panel(feed: JobFeed, client: Client) -> None:
    if not feed.has_completions:
        st.info(
            feed.awaited("Completions", after="the first step that samples some; imitation does not"),
            icon=":material/hourglass_empty:",
        )
        return
    rollout_id, group = state.address("rollout"), _group_of_address()
    if not (rollout_id or group):
        query = _filters(feed)
        _cards(feed, client, _read(feed, client, query), query)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        name = "rollout" if rollout_id else "group"
        st.button(
            "Back", icon=":material/arrow_back:", key="rollouts_back", type="tertiary", on_click=_close, args=(name,)
        )
        with st.popover("Filters", icon=":material/filter_alt:", type="tertiary", key="rollouts_filters"):
            _filters(feed)  # widgets keep their values in the address only while they are on the page
    with problems.shown():
        if rollout_id:
            credit.show(feed, client, rollout_id)
        elif group:
            rollout_group.show(feed, client, group)


def _close(*names: str) -> None:
    for name in names:
        st.query_params.pop(name, None)


def _narrow() -> None:
    """Go back to the first cards."""
    _close(*OPEN)
    paging.to_first()


def _group_of_address() -> rollout_group.Group | None:
    match = re.fullmatch(r"(\d{1,9})-(\d{1,9})(-practice)?", state.address("group") or "", re.ASCII)
    return None if match is None else rollout_group.Group(int(match[1]), int(match[2]), practice=match[3] is not None)


def _step_of_place() -> int | None:
    """Return the step of the current page, if the newest step has more completions than one page."""
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
            "Text in completion",
            max_chars=MAX_SEARCH_CHARACTERS,
            placeholder="any",
            key="text",
            width=240,
            icon=":material/search:",
            bind="query-params",
            on_change=_narrow,
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        practice = practises(feed.job) and st.toggle(
            "Practice",
            key="practice",
            bind="query-params",
            on_change=_narrow,
            help="The completions of questions that were sampled again with a hint in the prompt. They are not part of "
            "the reward curve, and are not listed with the others.",
        )
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
            help="Questions answered both right and wrong in the same step: only they have a signal.",
        )
        with_tokens = st.toggle(
            "With token credit only",
            key="credit",
            bind="query-params",
            on_change=_narrow,
            help="Token credit is stored for a share of the completions.",
        )
    return RolloutQuery(
        scope=scope,
        step=step if scope != "all" else None,
        row=None if row is None else int(row),
        practice=practice,
        outcomes=tuple(outcomes),
        mixed=mixed,
        with_tokens=with_tokens,
        search=search,
    )


def _read(feed: JobFeed, client: Client, query: RolloutQuery) -> CachedRollouts:
    """Read the completions once per filters; the newest of a running job every few seconds, in place of a tick."""
    after = paging.after()
    following = query.scope != "one" and after is None
    filters = query.filters
    request = json.dumps(
        [feed.job_id, after, query.scope, filters | ({"step": 0} if following else {})], sort_keys=True
    )
    kept: CachedRollouts | None = st.session_state.get(READ)
    now = time.monotonic()
    if kept is not None and kept.request == request:
        if not following or kept.step == feed.step or (not feed.ended and now - kept.read_at < FOLLOW_S):
            return kept
    else:
        st.session_state[SHOWN] = PAGE
    feed.ticks_to_skip += 0 if feed.ended else 1
    page = client.rollouts(
        feed.job_id, filters=filters, after=after, limit=MOST, order="desc" if query.scope == "all" else "asc"
    )
    kept = CachedRollouts(request, feed.step, now, page)
    st.session_state[READ] = kept
    return kept


def _cards(feed: JobFeed, client: Client, found: CachedRollouts, query: RolloutQuery) -> None:
    rollouts: list[RolloutObject] = found.page["data"]
    st.caption(_counted(found, query))
    if not rollouts:
        st.info("No completion matches these filters.", icon=":material/filter_alt_off:")
    shown = st.session_state.get(SHOWN, PAGE)
    cards = rollouts[:shown]
    questions = asked_rows.rows_by_number(feed, client, {rollout["row"] for rollout in cards})
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
        paging.turn(found.page, first="First", further=f"Next {MOST}")


def _counted(found: CachedRollouts, query: RolloutQuery) -> str:
    """Describe the cards: `All steps: the newest 100 matching completions.`"""
    where = "All steps" if query.scope == "all" else f"Step {query.step or found.step:,}"
    number = units.count(len(found.page["data"]), "completion") + (" of practice" if query.practice else "")
    which = ""
    if paging.after() is not None:
        which = "the next "
    elif found.page["has_more"]:
        which = "the newest " if query.scope == "all" else "the first "
    return f"{where}: {which}{number}{' that match' if query.narrowed else ''}."


def _card(feed: JobFeed, rollout: RolloutObject, question: FileRow | None) -> None:
    if question is not None:
        st.markdown(f"**{plain(asked_rows.first_line(question))}**")
    st.caption(f"Row {rollout['row']:,}, step {rollout['step']:,}, sample {rollout['sample']}")
    credit.head(feed, rollout)
    credit.text(rollout, height_px=TEXT_PX)
    if rollout["hint"] is not None:
        st.caption(f"Practice: the prompt had the hint “{plain(rollout['hint'][:HINT_CHARACTERS])}”.")
    if rollout["record"]["reason"]:
        st.caption(plain(rollout["record"]["reason"][:300]))
    with st.container(horizontal=True):
        rollout_group.link(rollout, key="card")
        if rollout["has_tokens"]:
            credit.link(rollout, key="card")
