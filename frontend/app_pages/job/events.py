"""The events of a job, the newest first; older pages by `?after=ftevent-…`."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import EventObject, Page
from frontend.components.job_feed import JobFeed
from frontend.widgets import paging
from frontend.words import units
from frontend.words.markdown import plain

OLDER = "job_events_older"


def panel(feed: JobFeed, client: Client, *, zone: ZoneInfo) -> None:
    page = _page(feed, client)
    events: list[EventObject] = page["data"]
    if not events:
        st.caption("No events yet.")
        return
    table = [
        {
            "when": units.moment(e["created_at"], zone) + units.clock(e["created_at"], zone)[5:],
            "level": e["level"],
            "what": plain(e["message"]),
        }
        for e in events
    ]
    st.table(table, hide_index=True, border="horizontal", alt="Events of the job, the newest first")
    paging.turn(page, first="Newest", further="Older")


def _page(feed: JobFeed, client: Client) -> Page[EventObject]:
    """Return the feed's newest events, or an older page, which does not change and is read once."""
    after = paging.after()
    if after is None:
        last = feed.events[-1]["id"] if feed.events else None
        return {"data": feed.events, "first_id": None, "last_id": last, "has_more": feed.older_events}
    kept: tuple[str, str, Page[EventObject]] | None = st.session_state.get(OLDER)
    if kept is None or kept[:2] != (feed.job_id, after):
        kept = (feed.job_id, after, client.events(feed.job_id, after=after))
        st.session_state[OLDER] = kept
        feed.ticks_to_skip += 0 if feed.ended else 1
    return kept[2]
