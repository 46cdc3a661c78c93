"""The audit log: who did what, when and from where; filtered and paged."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import AuditObject
from frontend.widgets import paging
from frontend.words import units
from frontend.words.settings import TOPICS, action

PAGE = 50
ROW_PX = 35


def panel(client: Client, *, zone: ZoneInfo) -> None:
    filters = _filters(zone)
    page = client.audit(after=paging.after(), limit=PAGE, **filters)
    entries: list[AuditObject] = page["data"]
    if not entries:
        filtered = any(value is not None for value in filters.values())
        st.info(
            "No entry matches. Remove a filter." if filtered else "Nothing has been changed in this project yet.",
            icon=":material/inbox:",
        )
        return
    st.dataframe(
        [line(entry, zone) for entry in entries],
        hide_index=True,
        alt="Changes in the project, the newest first",
        height=min(ROW_PX * (len(entries) + 1) + 3, 560),
        column_config={
            "when": st.column_config.TextColumn(width=145),
            "who": st.column_config.TextColumn(width=110),
            "what": st.column_config.TextColumn(width=230),
            "about": st.column_config.TextColumn(width="medium"),
        },
    )
    st.caption("All changes, the newest first. Reading is not logged. Entries cannot be edited here.")
    paging.turn(page, first="Newest", further="Older")


def line(entry: AuditObject, zone: ZoneInfo) -> dict[str, str]:
    """Return an entry as a row of the table."""
    return {
        "when": units.moment(entry["created_at"], zone),
        "who": entry["actor_name"],
        "what": action(entry["action"]),
        "about": " ".join(entry["objects"]),
        "from": entry["address"] or "unknown",
        "key or e-mail": entry["actor"],
        "request": entry["request_id"],
    }


def start_of(day: date | None, zone: ZoneInfo) -> int | None:
    """Return the start of a day in the viewer's time zone, in Unix seconds."""
    return None if day is None else int(datetime.combine(day, time(), zone).timestamp())


def _filters(zone: ZoneInfo) -> dict[str, str | int | None]:
    who_part, what_part, about_part, since_part, until_part = st.columns([1.2, 1.2, 1.4, 1, 1])
    with who_part:
        who = st.text_input(
            "Who",
            max_chars=200,
            placeholder="name, key or e-mail",
            key="who",
            bind="query-params",
            on_change=paging.to_first,
        )
    with what_part:
        what = st.selectbox(
            "What",
            list(TOPICS),
            index=None,
            placeholder="everything",
            key="what",
            bind="query-params",
            on_change=paging.to_first,
        )
    with about_part:
        about = st.text_input(
            "About",
            max_chars=200,
            placeholder="an id, e.g. ftjob-…",
            key="about",
            bind="query-params",
            on_change=paging.to_first,
            help="The id of a job, file, key or other object. The address of its page contains it.",
        )
    with since_part:
        since = st.date_input(
            "From", value=None, key="since", format="YYYY-MM-DD", bind="query-params", on_change=paging.to_first
        )
    with until_part:
        until = st.date_input(
            "To", value=None, key="until", format="YYYY-MM-DD", bind="query-params", on_change=paging.to_first
        )
    return {
        "actor": (who or "").strip() or None,
        "action": TOPICS[what] if what else None,
        "about": (about or "").strip() or None,
        "since": start_of(since, zone),
        "until": start_of(until + timedelta(days=1) if until else None, zone),
    }
