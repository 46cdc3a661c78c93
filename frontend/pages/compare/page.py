"""Compare: several ways of training beside each other: `?comparison=cmp-…`, `?jobs=a,b`, or a new one."""

from collections.abc import Callable

import streamlit as st

from frontend.api import ApiError
from frontend.api.comparisons import Comparison
from frontend.api.types import Job
from frontend.components import rights
from frontend.components.choices import told_apart
from frontend.components.job_table import title_of
from frontend.pages.compare import form as comparison_form
from frontend.pages.compare import view as comparison_view
from frontend.pages.compare.feed import TICK_S, ComparisonFeed
from frontend.session import state
from frontend.widgets import links, paging, problems, tabs
from frontend.words import units
from frontend.words.job_states import ENDED

PAGE = "pages/compare/page.py"
NEW = "new"
FEED, MOVED = "comparison_feed", "comparison_was_moving"
MOST_JOBS = 12
OFFERED_JOBS = 50
RESULT, CURVES, SETTINGS, RUNS, ASK = "Result", "Curves", "What differs", "Runs", "Ask each"

client, zone = state.client(), state.zone()


def listing() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title("Compare", anchor=False, width="stretch")
        if rights.button(client, "New comparison", type="primary", icon=":material/add:"):
            st.switch_page(PAGE, query_params={"comparison": NEW})
    st.write(
        "Train the same model in several ways, on the same questions and with the same budget, and learn which way is "
        "better, and how sure that is."
    )
    comparisons()
    st.subheader("Jobs side by side", anchor=False)
    any_jobs()


@st.fragment(run_every=TICK_S)
def comparisons() -> None:
    after = paging.after()
    with problems.page_guard():
        page = client.comparisons(after=after)
        for comparison in page["data"]:
            row(comparison)
        if not page["data"]:
            st.info("No comparison yet." if after is None else "No further comparisons.", icon=":material/inbox:")
        paging.turn(page, first="Newest", further="Older")


def row(comparison: Comparison) -> None:
    ended = sum(run["status"] in ENDED for run in comparison["runs"])
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row_{comparison['id']}"):
        with st.container(width="stretch", gap=None):
            links.within(
                PAGE,
                f"**{comparison['name']}**",
                icon=":material/compare_arrows:",
                key=f"open_{comparison['id']}",
                comparison=comparison["id"],
            )
            arms = ", ".join(arm["name"] for arm in comparison["plan"]["arms"])
            st.caption(f"{arms} · started {units.moment(comparison['created_at'], zone)}")
        st.caption(f"{ended} of {units.count(len(comparison['runs']), 'run')} ended", width="content")
        badge(running=comparison["status"] == "running")


def badge(*, running: bool) -> None:
    st.badge(
        "Running" if running else "Ended",
        color="blue" if running else "green",
        icon=":material/play_circle:" if running else ":material/check_circle:",
    )


def any_jobs() -> None:
    jobs: list[Job] = client.jobs(limit=OFFERED_JOBS)["data"]
    if len(jobs) < 2:
        st.caption("With two jobs or more, any of them can be set beside each other here.")
        return
    names = {job["id"]: f"{title_of(job)} ({units.moment(job['created_at'], zone)})" for job in jobs}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Jobs",
            list(names),
            format_func=told_apart(names, more=lambda job_id: job_id[-6:]),
            max_selections=MOST_JOBS,
            placeholder="choose two or more",
            key="choose_jobs",
            help="The others are compared with the first. Only jobs that answered the same held-out questions and were "
            "scored by the same verifier get a verdict.",
        )
        if st.button("Set side by side", icon=":material/view_column:", disabled=len(chosen) < 2, key="side_by_side"):
            st.switch_page(PAGE, query_params={"jobs": ",".join(chosen)})


def feed_of(wanted: str, *, jobs: list[str]) -> ComparisonFeed:
    """The feed of this page, opened anew for each comparison looked at."""
    feed: ComparisonFeed | None = st.session_state.get(FEED)
    if feed is None or feed.key != wanted:
        with st.spinner("Loading…"):
            feed = ComparisonFeed.of_jobs(client, jobs) if jobs else ComparisonFeed.of_comparison(client, wanted)
        st.session_state[FEED] = feed
    return feed


def live_head(wanted: str, jobs: list[str]) -> None:
    """Ask for news, and show how far it is; redrawn each tick while something moves."""
    feed = feed_of(wanted, jobs=jobs)
    try:
        feed.tick(client)
    except ApiError as error:
        problems.show(error)
        st.caption("What is shown below is the last that was known; the page goes on trying.")
    head(feed)
    if feed.settled and st.session_state.get(MOVED):
        st.session_state[MOVED] = False
        st.rerun()


def live_part(part: str, wanted: str, jobs: list[str]) -> None:
    """What the head has last been told."""
    feed = feed_of(wanted, jobs=jobs)
    with problems.shown():
        if part == RESULT:
            comparison_view.result(feed)
        elif part == CURVES:
            comparison_view.curves(feed, client)
        else:
            comparison_view.runs(feed)


def view(wanted: str, jobs: list[str]) -> None:
    feed = feed_of(wanted, jobs=jobs)
    st.session_state[MOVED] = not feed.settled
    asking = st.query_params.get("view") == ASK  # a redrawn page would cut the answers off
    tick_s = None if feed.settled or asking else TICK_S
    st.fragment(live_head, run_every=tick_s)(wanted, jobs)
    part = tabs.choice("Show", [RESULT, CURVES, SETTINGS, RUNS, ASK])
    with problems.shown():
        if part == ASK:
            comparison_view.ask_each(feed, client)
        elif part == SETTINGS:
            comparison_view.differences(feed, client)
        else:
            st.fragment(live_part, run_every=tick_s)(part, wanted, jobs)


def head(feed: ComparisonFeed) -> None:
    comparison = feed.comparison
    if comparison is None:
        st.title("Jobs side by side", anchor=False)
        st.caption(f"{', '.join(feed.arms)}. They were not planned as a comparison: see what differs before you judge.")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="comparison_state"):
        st.title(comparison["name"], anchor=False, width="content")
        badge(running=not feed.settled)
    steps, most = (sum(run[name] for run in feed.runs) for name in ("step", "max_steps"))
    ended = sum(run["status"] in ENDED for run in feed.runs)
    st.caption(f"Started {units.moment(comparison['created_at'], zone)}. {budget(comparison)}")
    if feed.moving:
        runs = f"{ended} of {units.count(len(feed.runs), 'run')} ended"
        st.progress(min(steps / most, 1.0), text=f"{runs} · step {steps:,} of {most:,} in all")
    with st.container(horizontal=True):
        if feed.moving:
            with rights.popover(client, "Cancel", icon=":material/cancel:", key="cancel_open"):
                st.write("Every run that has not ended is cancelled. What has been measured stays.")
                if st.button("Cancel all runs", type="primary", key="cancel"):
                    ask(lambda: client.cancel_comparison(comparison["id"]), then=lambda: feed.refresh_runs(client))
        else:
            with rights.popover(client, "Delete", icon=":material/delete:", key="delete_open"):
                st.write("The comparison is forgotten. Its jobs and their adapters stay.")
                if st.button("Delete the comparison", type="primary", key="delete"):
                    ask(lambda: client.delete_comparison(comparison["id"]), then=to_list)


def budget(comparison: Comparison) -> str:
    seeds = units.count(len(comparison["plan"].get("seeds", [0, 1, 2])), "seed")
    said = comparison["plan"].get("budget", {})
    limit, unit = said.get("limit"), said.get("unit", "steps")
    if limit is None:
        return f"{seeds} each, compared at the end."
    within = units.duration(limit) if unit == "seconds" else f"{limit:,.0f} {unit}"
    return f"{seeds} each, compared within {within}."


def to_list() -> None:
    st.session_state.pop(FEED, None)
    st.switch_page(PAGE, query_params={})


def ask(call: Callable[[], object], *, then: Callable[[], None]) -> None:
    try:
        call()
    except ApiError as error:
        problems.show(error)
        return
    then()
    st.rerun()


chosen = state.address("comparison")
jobs = [job for job in (state.address("jobs") or "").split(",") if job]
if chosen is None and not jobs:
    listing()
else:
    links.within(PAGE, "All comparisons", icon=":material/arrow_back:", key="all_comparisons")
    if chosen == NEW:
        st.title("New comparison", anchor=False)
        st.write(
            "Each method is trained from the same base on the same questions; then all are compared with one of them."
        )
        comparison_form.show(client)
    else:
        view(chosen or ",".join(jobs), [] if chosen else jobs)
