"""All samples of one question in one step, side by side: what told right from wrong there."""

import streamlit as st

from frontend.client import ApiError, Client
from frontend.components import credit
from frontend.feed import JobFeed
from frontend.rollout_words import success_above, tally
from frontend.shapes import Rollout, Row

KEPT = "group_kept"
MOST = 256
"""The largest group there can be."""
CARD_PX, TEXT_PX = 330, 240


def show(feed: JobFeed, client: Client, *, step: int, row: int) -> None:
    kept: tuple[str, int, int, list[Rollout], Row | None] | None = st.session_state.get(KEPT)
    if kept is None or kept[:3] != (feed.job_id, step, row):
        found = client.rollouts(feed.job_id, filters={"step": step, "row": row}, after=None, limit=MOST)["data"]
        kept = (feed.job_id, step, row, found, question_of(feed, client, row))
        st.session_state[KEPT] = kept
    group, question = kept[3:]
    st.subheader(f"Row {row:,} in step {step:,}: {tally(group, above=success_above(feed.job))}", anchor=False)
    if question is not None:
        asked(question)
    if not group:
        st.info("This question was not asked in this step.", icon=":material/search_off:")
        return
    with st.grid(min_column_width=CARD_PX):
        for rollout in group:
            with st.container(border=True, height="stretch"):
                st.markdown(f"**Sample {rollout['sample']}**")
                credit.head(feed, rollout)
                credit.text(rollout, height_px=TEXT_PX)
                if rollout["has_tokens"]:
                    credit.link(rollout, key="group")


def question_of(feed: JobFeed, client: Client, row: int) -> Row | None:
    """The dataset's row; None where the dataset is gone."""
    try:
        rows = client.file_rows(feed.job["training_file"], after=f"row-{row - 1}" if row else None, limit=1)["data"]
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return rows[0] if rows else None


def asked(question: Row) -> None:
    """The question and its reference answer."""
    last = question["messages"][-1]["content"] if question["messages"] else ""
    text = last if isinstance(last, str) else " ".join(part.get("text", "[image]") for part in last)
    with st.container(border=True):
        st.caption("Question")
        st.text(text)
        if question["reference"]["answer"] is not None:
            st.caption("Reference answer")
            st.text(question["reference"]["answer"])


def link(rollout: Rollout, *, key: str) -> None:
    """Leads to the group of a completion."""
    place = f"{rollout['step']}-{rollout['row']}"
    st.button(
        "Whole group",
        icon=":material/view_column:",
        key=f"{key}_group_{rollout['id']}",
        type="tertiary",
        on_click=lambda: st.query_params.update(group=place),
    )
