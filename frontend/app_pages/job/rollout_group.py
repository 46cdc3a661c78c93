"""All samples of one question in one step, side by side."""

from dataclasses import dataclass

import streamlit as st

from frontend.api import Client
from frontend.api.types import ListRolloutsQuery, RolloutObject
from frontend.app_pages.job import credit
from frontend.components import asked_rows
from frontend.components.job_feed import JobFeed
from frontend.words.rollouts import success_above, tally

KEPT = "group_kept"
MOST = 256
"""The largest possible group."""
CARD_PX, TEXT_PX = 330, 240


@dataclass(frozen=True, slots=True)
class Group:
    """A question in a step: as it is asked, or with a hint in practice."""

    step: int
    row: int
    practice: bool


def show(feed: JobFeed, client: Client, group: Group) -> None:
    kept: tuple[str, Group, list[RolloutObject]] | None = st.session_state.get(KEPT)
    if kept is None or kept[:2] != (feed.job_id, group):
        filters: ListRolloutsQuery = {"step": group.step, "row": group.row, "practice": group.practice}
        kept = (feed.job_id, group, client.rollouts(feed.job_id, filters=filters, after=None, limit=MOST)["data"])
        st.session_state[KEPT] = kept
    rollouts = kept[2]
    where = f"Row {group.row:,} in step {group.step:,}{', practice' if group.practice else ''}"
    st.subheader(f"{where}: {tally(rollouts, above=success_above(feed.job))}", anchor=False)
    asked_rows.show(feed, client, group.row, hint=rollouts[0]["hint"] if rollouts else None)
    if not rollouts:
        st.info("This question was not used in this step.", icon=":material/search_off:")
        return
    with st.grid(min_column_width=CARD_PX):
        for rollout in rollouts:
            with st.container(border=True, height="stretch"):
                st.markdown(f"**Sample {rollout['sample']}**")
                credit.head(feed, rollout)
                credit.text(rollout, height_px=TEXT_PX)
                if rollout["has_tokens"]:
                    credit.link(rollout, key="group")


def link(rollout: RolloutObject, *, key: str) -> None:
    """Show a button that opens the completion's group."""
    place = f"{rollout['step']}-{rollout['row']}{'' if rollout['hint'] is None else '-practice'}"
    st.button(
        "Whole group",
        icon=":material/view_column:",
        key=f"{key}_group_{rollout['id']}",
        type="tertiary",
        on_click=lambda: st.query_params.update(group=place),
    )
