"""Compare training methods or jobs: `?comparison=cmp-…`, `?jobs=a,b`, or a new comparison."""

from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import ComparisonObject, JobObject, RunObject
from frontend.app_pages.compare import form as comparison_form
from frontend.app_pages.compare import view as comparison_view
from frontend.app_pages.compare.feed import TICK_S, ComparisonFeed
from frontend.components import rights
from frontend.components.choices import distinct_labels
from frontend.components.job_table import title_of
from frontend.session import state
from frontend.widgets import links, paging, problems, tabs
from frontend.words import units
from frontend.words.job_states import ENDED, look
from frontend.words.markdown import plain

PAGE = "app_pages/compare/page.py"
NEW = "new"
FEED, MOVED = "comparison_feed", "comparison_was_moving"
MOST_JOBS = 12
OFFERED_JOBS = 50
RESULT, CURVES, SETTINGS, RUNS, ASK = "Result", "Curves", "Differences", "Runs", "Try"


def listing(client: Client, *, zone: ZoneInfo) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title("Compare", anchor=False, width="stretch")
        if rights.button(client, "New comparison", type="primary", icon=":material/add:"):
            st.switch_page(PAGE, query_params={"comparison": NEW})
    st.write(
        "Train the same model with several methods, on the same questions and with the same budget, to see which "
        "method is better, and how certain that is."
    )
    comparisons(client, zone=zone)
    st.subheader("Compare jobs", anchor=False)
    any_jobs(client, zone=zone)


@st.fragment(run_every=TICK_S)
def comparisons(client: Client, *, zone: ZoneInfo) -> None:
    after = paging.after()
    with problems.page_guard():
        page = client.comparisons(after=after)
        for comparison in page["data"]:
            row(comparison, zone=zone)
        if not page["data"]:
            st.info("No comparisons yet." if after is None else "No more comparisons.", icon=":material/inbox:")
        paging.turn(page, first="Newest", further="Older")


def row(comparison: ComparisonObject, *, zone: ZoneInfo) -> None:
    ended = sum(run["status"] in ENDED for run in comparison["runs"])
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row_{comparison['id']}"):
        with st.container(width="stretch", gap=None):
            links.within(
                PAGE,
                f"**{plain(comparison['name'])}**",
                icon=":material/compare_arrows:",
                key=f"open_{comparison['id']}",
                comparison=comparison["id"],
            )
            arms = ", ".join(arm["name"] for arm in comparison["plan"]["arms"])
            st.caption(f"{plain(arms)} · started {units.moment(comparison['created_at'], zone)}")
        st.caption(f"{ended} of {units.count(len(comparison['runs']), 'run')} ended", width="content")
        badge(comparison["runs"])


def badge(runs: Sequence[RunObject]) -> None:
    """Show the state of all runs together: waiting as long as none has begun."""
    states = {run["status"] for run in runs}
    if states <= set(ENDED):
        st.badge("Ended", color="green", icon=":material/check_circle:")
    elif states <= {"queued", *ENDED}:
        waiting = look("queued")
        st.badge(waiting.label, color=waiting.color, icon=waiting.icon)
    else:
        st.badge("Running", color="blue", icon=":material/play_circle:")


def any_jobs(client: Client, *, zone: ZoneInfo) -> None:
    jobs: list[JobObject] = client.jobs(limit=OFFERED_JOBS)["data"]
    if len(jobs) < 2:
        st.caption("With at least two jobs, you can compare them here.")
        return
    names = {job["id"]: f"{title_of(job)} ({units.moment(job['created_at'], zone)})" for job in jobs}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Jobs",
            list(names),
            format_func=distinct_labels(names, more=lambda job_id: job_id[-6:]),
            max_selections=MOST_JOBS,
            placeholder="choose two or more",
            key="choose_jobs",
            help="All others are compared with the first job. Only jobs with the same held-out questions and the same "
            "verifier get a verdict.",
        )
        if st.button("Compare jobs", icon=":material/view_column:", disabled=len(chosen) < 2, key="side_by_side"):
            st.switch_page(PAGE, query_params={"jobs": ",".join(chosen)})


def feed_of(client: Client, wanted: str, *, jobs: list[str]) -> ComparisonFeed:
    """Return the feed of this page; a new one for another comparison."""
    feed: ComparisonFeed | None = st.session_state.get(FEED)
    if feed is None or feed.key != wanted:
        with st.spinner("Loading…"):
            feed = ComparisonFeed.of_jobs(client, jobs) if jobs else ComparisonFeed.of_comparison(client, wanted)
        st.session_state[FEED] = feed
    return feed


def live_head(client: Client, wanted: str, jobs: list[str], *, zone: ZoneInfo) -> None:
    """Update the feed and show the progress; redrawn each tick while a run is active."""
    feed = feed_of(client, wanted, jobs=jobs)
    try:
        feed.tick(client)
    except ApiError as error:
        problems.show(error)
        st.caption("The page shows the last known state and keeps trying to connect.")
    head(client, feed, zone=zone)
    if feed.settled and st.session_state.get(MOVED):
        st.session_state[MOVED] = False
        st.rerun()


def live_tab(client: Client, tab: str, wanted: str, jobs: list[str]) -> None:
    """Show the chosen tab with the data that the head has read."""
    feed = feed_of(client, wanted, jobs=jobs)
    with problems.shown():
        if tab == RESULT:
            comparison_view.result(feed)
        elif tab == CURVES:
            comparison_view.curves(feed, client)
        else:
            comparison_view.runs(feed)


def view(client: Client, wanted: str, jobs: list[str], *, zone: ZoneInfo) -> None:
    feed = feed_of(client, wanted, jobs=jobs)
    st.session_state[MOVED] = not feed.settled
    asking = st.query_params.get("view") == ASK  # redrawing would interrupt the answers
    tick_s = None if feed.settled or asking else TICK_S
    st.fragment(live_head, run_every=tick_s)(client, wanted, jobs, zone=zone)
    tab = tabs.choice("Show", [RESULT, CURVES, SETTINGS, RUNS, ASK], of=wanted)
    with problems.shown():
        if tab == ASK:
            comparison_view.try_models(feed, client)
        elif tab == SETTINGS:
            comparison_view.differences(feed, client)
        else:
            st.fragment(live_tab, run_every=tick_s)(client, tab, wanted, jobs)


def head(client: Client, feed: ComparisonFeed, *, zone: ZoneInfo) -> None:
    comparison = feed.comparison
    if comparison is None:
        st.title("Compare jobs", anchor=False)
        st.caption(
            f"{plain(', '.join(feed.arms))}. These jobs were not planned as a comparison. Check “Differences” before "
            "you judge."
        )
        return
    with st.container(horizontal=True, vertical_alignment="center", key="comparison_state"):
        st.title(plain(comparison["name"]), anchor=False, width="content")
        badge(feed.runs)
    steps, most = (sum(run[name] for run in feed.runs) for name in ("step", "max_steps"))
    ended = sum(run["status"] in ENDED for run in feed.runs)
    st.caption(f"Started {units.moment(comparison['created_at'], zone)}. {budget(comparison)}")
    if feed.moving:
        runs = f"{ended} of {units.count(len(feed.runs), 'run')} ended"
        st.progress(units.share(steps, most), text=f"{runs} · step {steps:,} of {most:,} in total")
    with st.container(horizontal=True):
        if feed.moving:
            with rights.popover(client, "Cancel", icon=":material/cancel:", key="cancel_open"):
                st.write("All runs that have not ended are cancelled. Results so far stay.")
                if st.button("Cancel all runs", type="primary", key="cancel"):
                    call_and_rerun(
                        lambda: client.cancel_comparison(comparison["id"]), then=lambda: feed.refresh_runs(client)
                    )
        else:
            with rights.popover(client, "Delete", icon=":material/delete:", key="delete_open"):
                st.write("The comparison is deleted. Its jobs and their adapters stay.")
                if st.button("Delete the comparison", type="primary", key="delete"):
                    call_and_rerun(lambda: client.delete_comparison(comparison["id"]), then=to_list)


def budget(comparison: ComparisonObject) -> str:
    seeds = units.count(len(comparison["plan"].get("seeds", [0, 1, 2])), "seed")
    given = comparison["plan"].get("budget", {})
    limit, unit = given.get("limit"), given.get("unit", "steps")
    if limit is None:
        return f"{seeds} per method, compared after the last step."
    within = units.duration(limit) if unit == "seconds" else f"{limit:,.0f} {unit}"
    return f"{seeds} per method, compared within {within}."


def to_list() -> None:
    st.session_state.pop(FEED, None)
    st.switch_page(PAGE, query_params={})


def call_and_rerun(call: Callable[[], object], *, then: Callable[[], None]) -> None:
    try:
        call()
    except ApiError as error:
        problems.show(error)
        return
    then()
    st.rerun()


def page() -> None:
    client, zone = state.client(), state.zone()
    chosen = state.address("comparison")
    jobs = [job for job in (state.address("jobs") or "").split(",") if job]
    if chosen is None and not jobs:
        listing(client, zone=zone)
    else:
        links.within(PAGE, "All comparisons", icon=":material/arrow_back:", key="all_comparisons")
        if chosen == NEW:
            st.title("New comparison", anchor=False)
            st.write(
                "Each method trains the same base model on the same questions. Then all are compared with one of them."
            )
            comparison_form.show(client)
        else:
            view(client, chosen or ",".join(jobs), [] if chosen else jobs, zone=zone)


if __name__ == "__main__":
    page()
