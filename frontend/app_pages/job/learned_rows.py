"""The Rows tab: rows that were never or always solved have no signal, and a new job can leave them out."""

from typing import Any

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json, RowsPage
from frontend.components import asked_rows, rights
from frontend.components.job_feed import JobFeed
from frontend.widgets import paging, problems
from frontend.words import units

READ = "rows_fared_read"
MOST = 500
KINDS = {"never": "Never right", "always": "Always right", "sometimes": "Sometimes right"}
MEANINGS = {
    "never": "No completion was ever right: the row is too hard for this model, its reference is wrong, or the "
    "verifier is too strict. Look at some before you leave them out.",
    "always": "Every completion was right: there is nothing left to learn from them.",
    "sometimes": "Both right and wrong: these rows have a signal.",
}


def panel(feed: JobFeed, client: Client) -> None:
    if not feed.has_completions:
        st.info(
            feed.awaited("Rows", after="the first step that samples completions; imitation does not"),
            icon=":material/hourglass_empty:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Rows that were",
            list(KINDS),
            format_func=KINDS.__getitem__,
            default="never",
            required=True,
            key="rows_kind",
        )
        if not feed.ended and st.button("Refresh", icon=":material/refresh:", key="rows_again"):
            st.session_state.pop(READ, None)
    found = _read(feed, client, kind)
    for place, name in zip(st.columns(len(KINDS)), KINDS, strict=True):
        place.metric(KINDS[name], units.count(_counted(found, name), "row"), border=True)
    st.caption(MEANINGS[kind])
    if not found["data"]:
        st.info("There are no such rows.", icon=":material/check:")
    else:
        _listed(feed, client, found)
    _start_again(feed, client, found)


def _read(feed: JobFeed, client: Client, kind: str) -> RowsPage:
    """Read the outcomes once; for a running job again at the click of a button."""
    wanted = (feed.job_id, kind, feed.ended)
    kept: tuple[Any, RowsPage] | None = st.session_state.get(READ)
    if kept is None or kept[0] != wanted:
        kept = (wanted, client.row_outcomes(feed.job_id, solved=kind, after=None, limit=MOST))
        st.session_state[READ] = kept
    return kept[1]


def _listed(feed: JobFeed, client: Client, found: RowsPage) -> None:
    rows = found["data"]
    if found["has_more"]:
        st.caption(f"The first {len(rows):,}:")
    questions = asked_rows.rows_by_number(feed, client, [row["row"] for row in rows])
    scores_differ = len({row["mean_score"] for row in rows}) > 1
    chosen: Any = st.dataframe(
        [
            {
                "question": asked_rows.first_line(question) if (question := questions.get(row["row"])) else "",
                "right": row["solved"],
                "completions": row["completions"],
                **({"mean score": row["mean_score"]} if scores_differ else {}),
                "last used in step": row["last_step"],
                "row": row["row"],
            }
            for row in rows
        ],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=min(38 + 35 * len(rows), 300),
        key="rows_table",
        alt="Rows with how often they were right",
        column_config={
            "question": st.column_config.TextColumn(width="large"),
            "mean score": st.column_config.NumberColumn(format="%.2f"),
        },
    )
    lines = chosen.selection.rows
    if not lines or lines[0] >= len(rows):
        st.caption("Select a line to see the whole question and its right answer.")
        return
    row = rows[lines[0]]
    asked_rows.show(feed, client, row["row"], hint=None)
    st.button(
        f"Show the answers of step {row['last_step']:,}",
        icon=":material/view_column:",
        key="rows_open_group",
        on_click=_open_group,
        args=(row["last_step"], row["row"]),
    )


def _open_group(step: int, row: int) -> None:
    st.session_state["view"] = "Completions"
    st.query_params["group"] = f"{step}-{row}"
    for name in ("rollout", paging.AFTER):
        st.query_params.pop(name, None)


def _counted(found: RowsPage, name: str) -> int:
    return {"never": found["never"], "always": found["always"]}.get(name, found["sometimes"])


def _start_again(feed: JobFeed, client: Client, found: RowsPage) -> None:
    with st.container(border=True):
        st.markdown("**Train again without these rows**")
        st.caption(
            "Creates a new version of the dataset; the current one does not change. The new job keeps all settings."
        )
        offered = [name for name in ("never", "always") if _counted(found, name)]
        if not offered:
            st.caption("No row was always or never right, so there is nothing to leave out.")
            return
        out = st.pills(
            "Leave out rows that were",
            offered,
            format_func=lambda name: f"{KINDS[name].lower()} ({_counted(found, name):,})",
            selection_mode="multi",
            key="rows_leave_out",
        )
        if rights.button(
            client,
            "Leave out and train again",
            icon=":material/restart_alt:",
            key="rows_restart",
            disabled=not out,
        ):
            _restart(feed, client, list(out))


def _restart(feed: JobFeed, client: Client, out: list[str]) -> None:
    rule: Json = {"type": "solve_rate", "job": feed.job_id}
    rule |= {f"{name}_solved": True for name in out}
    try:
        with st.spinner("Creating the new version…"):
            made = client.create_version(feed.job["training_file"], edits=[], filters=[rule], filename=None)
    except ApiError as error:
        problems.show(error, title="The new version was not created")
        return
    st.switch_page("app_pages/new_job/page.py", query_params={"from": feed.job_id, "dataset": made["id"]})
