"""Rows that were never right, or always: they teach nothing, and a new job can leave them out."""

from typing import Any

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json
from frontend.api.types_runs import RowsFared
from frontend.components import asked_rows, rights
from frontend.components.job_feed import JobFeed
from frontend.widgets import paging, problems
from frontend.words import units

READ = "rows_fared_read"
MOST = 500
KINDS = {"never": "Never right", "always": "Always right", "sometimes": "Now and then"}
MEANINGS = {
    "never": "No completion was ever right: too hard for this model, a wrong reference, or a verifier that is too "
    "strict. Look at some before you leave them out.",
    "always": "Every completion was right: nothing is left to learn from them.",
    "sometimes": "Right and wrong: these are the rows that teach.",
}


def panel(feed: JobFeed, client: Client) -> None:
    if feed.step == 0:
        st.info("Rows appear with the first step.", icon=":material/hourglass_empty:")
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
        if not feed.ended and st.button("Count again", icon=":material/refresh:", key="rows_again"):
            st.session_state.pop(READ, None)
    found = _read(feed, client, kind)
    for place, name in zip(st.columns(len(KINDS)), KINDS, strict=True):
        place.metric(KINDS[name], units.count(_counted(found, name), "row"), border=True)
    st.caption(MEANINGS[kind])
    if not found["data"]:
        st.info("There are none.", icon=":material/check:")
    else:
        _listed(feed, client, found)
    _start_again(feed, client, found)


def _read(feed: JobFeed, client: Client, kind: str) -> RowsFared:
    """Counted once a look; for a running job again at the press of a button."""
    asked = (feed.job_id, kind, feed.ended)
    kept: tuple[Any, RowsFared] | None = st.session_state.get(READ)
    if kept is None or kept[0] != asked:
        kept = (asked, client.rows_fared(feed.job_id, solved=kind, after=None, limit=MOST))
        st.session_state[READ] = kept
    return kept[1]


def _listed(feed: JobFeed, client: Client, found: RowsFared) -> None:
    rows = found["data"]
    if found["has_more"]:
        st.caption(f"The first {len(rows):,}:")
    questions = asked_rows.of(feed, client, [row["row"] for row in rows])
    scores_differ = len({row["mean_score"] for row in rows}) > 1
    chosen: Any = st.dataframe(
        [
            {
                "question": asked_rows.first_line(question) if (question := questions.get(row["row"])) else "",
                "right": row["solved"],
                "completions": row["completions"],
                **({"mean score": row["mean_score"]} if scores_differ else {}),
                "last asked in step": row["last_step"],
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
        st.caption("Choose a line to see the whole question and its right answer.")
        return
    row = rows[lines[0]]
    asked_rows.show(feed, client, row["row"])
    st.button(
        f"What was answered in step {row['last_step']:,}",
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


def _counted(found: RowsFared, name: str) -> int:
    return {"never": found["never"], "always": found["always"]}.get(name, found["sometimes"])


def _start_again(feed: JobFeed, client: Client, found: RowsFared) -> None:
    with st.container(border=True):
        st.markdown("**Leave rows out and start again**")
        st.caption("Makes a new version of the dataset; this one stays as it is. The new job takes over all settings.")
        offered = [name for name in ("never", "always") if _counted(found, name)]
        if not offered:
            st.caption("No row was always right or never: there is nothing to leave out.")
            return
        out = st.pills(
            "Leave out rows that were",
            offered,
            default=["never"] if "never" in offered else None,
            format_func=lambda name: f"{KINDS[name].lower()} ({_counted(found, name):,})",
            selection_mode="multi",
            key="rows_leave_out",
        )
        if rights.button(
            client,
            "Leave out and start again",
            icon=":material/restart_alt:",
            key="rows_restart",
            disabled=not out,
        ):
            _restart(feed, client, list(out))


def _restart(feed: JobFeed, client: Client, out: list[str]) -> None:
    rule: Json = {"type": "solve_rate", "job": feed.job_id}
    rule |= {f"{name}_solved": True for name in out}
    try:
        with st.spinner("Making the new version…"):
            made = client.create_version(feed.job["training_file"], edits=[], filters=[rule], filename=None)
    except ApiError as error:
        problems.show(error, title="No version was made")
        return
    st.switch_page("pages/new_job/page.py", query_params={"from": feed.job_id, "dataset": made["id"]})
