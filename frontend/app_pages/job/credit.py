"""One completion in full: its outcome, and the credit of its tokens."""

import streamlit as st

from frontend.api import Client
from frontend.api.types import RolloutObject, TokensObject
from frontend.app_pages.job import token_view
from frontend.components import asked_rows, score
from frontend.components.job_feed import JobFeed
from frontend.widgets import problems
from frontend.words import job_settings
from frontend.words.markdown import plain
from frontend.words.rollouts import credit_in_words, practises, success_above

KEPT = "credit_kept"
LONG, LONG_LINES = 300, 6
"""Characters and line breaks above which a text gets a fixed height."""


def show(feed: JobFeed, client: Client, rollout_id: str) -> None:
    """Show the completion, read once."""
    kept: tuple[str, str, RolloutObject, TokensObject | None] | None = st.session_state.get(KEPT)
    if kept is None or kept[:2] != (feed.job_id, rollout_id):
        rollout = client.rollout(feed.job_id, rollout_id)
        tokens = client.tokens(feed.job_id, rollout_id) if rollout["has_tokens"] else None
        kept = (feed.job_id, rollout_id, rollout, tokens)
        st.session_state[KEPT] = kept
    rollout, tokens = kept[2:]
    practised = "" if rollout["hint"] is None else ", practice"
    st.subheader(
        f"Row {rollout['row']:,}, sample {rollout['sample']}, step {rollout['step']:,}{practised}", anchor=False
    )
    asked_rows.show(feed, client, rollout["row"], hint=rollout["hint"])
    head(feed, rollout)
    if rollout["record"]["reason"]:
        st.caption(f"The verifier: {plain(rollout['record']['reason'])}")
    if tokens is None:
        st.code(rollout["completion"], language=None, wrap_lines=True)
        st.caption(
            "Token credit was not stored for this completion: it is stored for a share of them (setting “"
            f"{job_settings.label_of('token_share')}” of a new job)."
        )
        return
    heatmap(feed, rollout, tokens)


def head(feed: JobFeed, rollout: RolloutObject) -> None:
    """Show outcome, score and advantage in one line."""
    record, above = rollout["record"], success_above(feed.job)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        score.badge(record, above=above)
        score.score(record, above=above)
        st.caption(credit_in_words(rollout, practises=practises(feed.job)), width="content")
        if rollout["truncated"]:
            st.badge("truncated", color="orange", icon=":material/content_cut:")


def text(rollout: RolloutObject, *, height_px: int) -> None:
    """Show the completion, at most `height_px` high."""
    long = len(rollout["completion"]) > LONG or rollout["completion"].count("\n") > LONG_LINES
    st.code(rollout["completion"], language=None, wrap_lines=True, height=height_px if long else "content")


def heatmap(feed: JobFeed, rollout: RolloutObject, tokens: TokensObject) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = token_view.measure_choice(key="credit", disabled=bool(st.session_state.get("credit_grpo")))
        compared = st.toggle(
            "Compare with GRPO",
            key="credit_grpo",
            help="The same text with the credit that GRPO would assign: the advantage, the same for every token.",
        )
    with problems.shown():
        if compared:
            token_view.compare_with_grpo(
                tokens, advantage=rollout["advantage"], method=job_settings.method_name(feed.job)
            )
        else:
            token_view.show(tokens, measure=measure)
    with st.expander("Values as a table", icon=":material/table:", key="credit_table"):
        numbers = st.column_config.NumberColumn(format="%.3f")
        st.dataframe(
            token_view.table(tokens),
            hide_index=True,
            alt="The values of each token",
            column_config={
                "evidence": numbers,
                "weight": numbers,
                "applied credit": numbers,
                "log-probability": numbers,
                "with hint": numbers,
                "with the other hint": numbers,
            },
        )


def link(rollout: RolloutObject, *, key: str) -> None:
    """Show a button that opens the completion's token credit."""
    st.button(
        "Token credit",
        icon=":material/gradient:",
        key=f"{key}_credit_{rollout['id']}",
        type="tertiary",
        on_click=lambda: st.query_params.update(rollout=rollout["id"]),
    )
