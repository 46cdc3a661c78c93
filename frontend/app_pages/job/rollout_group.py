"""All samples of one question in one step, side by side."""

import streamlit as st

from frontend.api import Client
from frontend.api.types import RolloutObject
from frontend.app_pages.job import credit
from frontend.components import asked_rows
from frontend.components.job_feed import JobFeed
from frontend.words.rollouts import success_above, tally

KEPT = "group_kept"
MOST = 256
"""The largest possible group."""
CARD_PX, TEXT_PX = 330, 240


def show(feed: JobFeed, client: Client, *, step: int, row: int) -> None:
    kept: tuple[str, int, int, list[RolloutObject]] | None = st.session_state.get(KEPT)
    if kept is None or kept[:3] != (feed.job_id, step, row):
        found = client.rollouts(feed.job_id, filters={"step": step, "row": row}, after=None, limit=MOST)["data"]
        kept = (feed.job_id, step, row, found)
        st.session_state[KEPT] = kept
    group = kept[3]
    st.subheader(f"Row {row:,} in step {step:,}: {tally(group, above=success_above(feed.job))}", anchor=False)
    asked_rows.show(feed, client, row)
    if not group:
        st.info("This question was not used in this step.", icon=":material/search_off:")
        return
    with st.grid(min_column_width=CARD_PX):
        for rollout in group:
            with st.container(border=True, height="stretch"):
                st.markdown(f"**Sample {rollout['sample']}**")
                credit.head(feed, rollout)
                credit.text(rollout, height_px=TEXT_PX)
                if rollout["has_tokens"]:
                    credit.link(rollout, key="group")


def link(rollout: RolloutObject, *, key: str) -> None:
    """Show a button that opens the completion's group."""
    place = f"{rollout['step']}-{rollout['row']}"
    st.button(
        "Whole group",
        icon=":material/view_column:",
        key=f"{key}_group_{rollout['id']}",
        type="tertiary",
        on_click=lambda: st.query_params.update(group=place),
    )
