"""All jobs, the newest first, filtered by state and name (`?stage=Done&name=…`)."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.components import job_facts, job_table, rights
from frontend.session import state
from frontend.widgets import paging, problems
from frontend.words.job_states import STAGES

PAGE = 20
REFRESH_S = 4.0
MAX_NAME_CHARACTERS = 200


def filters() -> tuple[list[str], str]:
    """Show the filters. Returns (states of the API, a part of the name)."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        stages = st.pills(
            "State", list(STAGES), selection_mode="multi", key="stage", bind="query-params", on_change=paging.to_first
        )
        name = st.text_input(
            "Name or model",
            max_chars=MAX_NAME_CHARACTERS,
            placeholder="any",
            key="name",
            width=240,
            icon=":material/search:",
            bind="query-params",
            on_change=paging.to_first,
        )
    return [status for stage in stages for status in STAGES[stage]], name.strip()


@st.fragment(run_every=REFRESH_S)
def listing(client: Client, statuses: Sequence[str], name: str, *, zone: ZoneInfo) -> None:
    after = paging.after()
    with problems.page_guard():
        page = client.jobs(after=after, limit=PAGE, status=statuses, name=name or None)
        jobs = page["data"]
        if jobs:
            job_table.rows(jobs, zone=zone, more=job_facts.lines_by_job(client, jobs))
            paging.turn(page, first="Newest", further="Older")
        elif statuses or name:
            st.info("No job matches. Remove a filter.", icon=":material/filter_alt_off:")
        elif after is not None:
            st.info("No more jobs.", icon=":material/inbox:")
        else:
            st.info("No jobs yet.", icon=":material/inbox:")
            rights.page_link(
                client, "app_pages/new_job/page.py", label="Start the first job", icon=":material/add_circle:"
            )


def page() -> None:
    client, zone = state.client(), state.zone()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title("Jobs", anchor=False, width="stretch")
        if rights.button(client, "New job", type="primary", icon=":material/add:"):
            st.switch_page("app_pages/new_job/page.py", query_params={})
    listing(client, *filters(), zone=zone)


if __name__ == "__main__":
    page()
