"""The versions of a dataset: their differences, filters, splits, and the solve rates of its rows."""

import json
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import DifferencePage, FileObject, Json
from frontend.app_pages.datasets import filters, split
from frontend.components.choices import distinct_labels
from frontend.components.job_table import title_of
from frontend.widgets import links, problems, row_pager
from frontend.words import units
from frontend.words.markdown import plain

PAGE = "app_pages/datasets/page.py"
FAMILY, FILTERS, SPLIT, HISTORY = "Versions", "Leave rows out", "Split", "Row history"
SHOWN_VERSIONS = 30
SHOWN_ROWS = 100
CELL_CHARACTERS = 300
SIGNS = {"added": "+ added", "removed": "− removed", "changed": "≠ changed"}


def panel(client: Client, file: FileObject, *, zone: ZoneInfo) -> None:
    st.subheader("Versions", anchor=False, help="A dataset never changes: every change creates a new version.")
    view = st.segmented_control(
        "View", [FAMILY, FILTERS, SPLIT, HISTORY], default=FAMILY, required=True, key=f"versions_view_{file['id']}"
    )
    with problems.shown():
        if view == FAMILY:
            family(client, file, zone=zone)
        elif view == FILTERS:
            filters.panel(client, file)
        elif view == SPLIT:
            split.panel(client, file)
        else:
            history(client, file)


def show_origin(file: FileObject) -> None:
    """Show what a version was created from, with a link to it."""
    change = file.get("change")
    if not change:
        return
    st.caption(plain(f"Created from {change['from']['filename']}: {change['summary']}"))
    parent = file.get("parent_id")
    if parent:
        links.within(PAGE, "Previous version", icon=":material/history:", key="to_parent", dataset=parent)


def family(client: Client, file: FileObject, *, zone: ZoneInfo) -> None:
    members = client.file_versions(file["id"])
    if len(members) == 1:
        st.caption("There are no other versions yet. Edit a row above, leave rows out, or split the dataset.")
        return
    names = {member["id"]: member["filename"] for member in members}
    for member in members[-SHOWN_VERSIONS:]:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            with st.container(width="stretch", gap=None):
                if member["id"] == file["id"]:
                    st.markdown(f"**{plain(member['filename'])}** (this one)")
                else:
                    links.within(
                        PAGE,
                        plain(member["filename"]),
                        icon=":material/table_rows:",
                        key=f"version_{member['id']}",
                        dataset=member["id"],
                    )
                st.caption(_origin(member, names))
            st.caption(units.count(member["rows"], "row"), width="content")
            st.caption(units.moment(member["created_at"], zone), width="content")
    others = [member["id"] for member in members if member["id"] != file["id"]]
    parent = file.get("parent_id")
    chosen = st.selectbox(
        "Compare with",
        others,
        index=others.index(parent) if parent in others else None,
        format_func=names.__getitem__,
        placeholder="another version",
        key=f"compare_{file['id']}",
    )
    if chosen:
        show_difference(
            client.file_difference(chosen, to=file["id"], limit=SHOWN_ROWS), names[chosen], file["filename"]
        )


def _origin(member: FileObject, names: dict[str, str]) -> str:
    change = member.get("change")
    if not change:
        return "uploaded"
    return f"from {names.get(change['from']['id'], change['from']['filename'])}: {change['summary']}"


def show_difference(found: DifferencePage, before: str, after: str) -> None:
    """Show the difference of two versions: counts, a list, and one row in full."""
    for column, name in zip(st.columns(4), ("added", "removed", "changed", "same"), strict=True):
        column.metric(name.capitalize(), f"{found[name]:,}", border=True)  # type: ignore[literal-required]
    listed = found["data"]
    if not listed:
        st.caption("Both versions contain the same rows.")
        return
    table = [
        {
            "": SIGNS[each["change"]],
            "row before": each["row"],
            "row after": each["to_row"],
            "before": _cell(each["item"]),
            "after": _cell(each["to_item"]),
        }
        for each in listed
    ]
    chosen: Any = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=min(38 + 35 * len(table), 320),
        key="difference_table",
        alt="Rows that differ",
    )
    if found["has_more"]:
        st.caption(f"The first {len(listed):,} are listed.")
    lines = chosen.selection.rows
    each = listed[lines[0] if lines and lines[0] < len(listed) else 0]
    left, right = st.columns(2)
    for place, name, item in ((left, before, each["item"]), (right, after, each["to_item"])):
        with place.container(border=True, height="stretch"):
            st.markdown(f"**{name}**")
            if item is None:
                st.caption("This version does not have the row.")
            else:
                st.json(item)


def _cell(item: Json | None) -> str:
    return "" if item is None else json.dumps(item, ensure_ascii=False)[:CELL_CHARACTERS]


def history(client: Client, file: FileObject) -> None:
    """Show the share of right completions by row and job, including jobs on other versions."""
    key = f"history_from_{file['id']}"
    start = row_pager.first_of(key, total=file["rows"], size=SHOWN_ROWS)
    page = client.file_history(file["id"], start, limit=SHOWN_ROWS)
    jobs = list(dict.fromkeys(found["job"] for row in page["data"] for found in row["jobs"]))
    if not jobs:
        st.caption("No job has used these rows yet, in this or another version.")
        row_pager.show(key, total=file["rows"], size=SHOWN_ROWS, noun="row")
        return
    label = distinct_labels({job: title_of(client.job(job)) for job in jobs}, more=lambda job: job[-6:])
    st.dataframe(
        [{"row": row["row"]} | {found["job"]: found["solve_rate"] for found in row["jobs"]} for row in page["data"]],
        hide_index=True,
        column_config={job: st.column_config.NumberColumn(label(job), format="percent") for job in jobs},
        alt="Solve rate by row and job",
    )
    row_pager.show(key, total=file["rows"], size=SHOWN_ROWS, noun="row")
    st.caption("The share of right completions. A row keeps its history in every version that contains it unchanged.")
