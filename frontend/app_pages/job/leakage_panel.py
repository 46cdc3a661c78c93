"""The Leakage tab: the placebo control, mentions of a hint, and the distance to the base model."""

import streamlit as st

from frontend.app_pages.job import leakage
from frontend.app_pages.job.curves import CURVES, available
from frontend.components import charts
from frontend.components.job_feed import JobFeed

BANNERS = {"good": st.success, "warn": st.warning, "bad": st.error, "unknown": st.info}
ICONS = {
    "good": ":material/check_circle:",
    "warn": ":material/warning:",
    "bad": ":material/error:",
    "unknown": ":material/help:",
}
CHART_PX = 360
SHOWN = {
    "Hint against placebo": "The mean absolute log-ratio: how much a hint changes a token's log-probability.",
    "Leakage": "Completions that mention a reference or a hint.",
    "Practice: leakage": "Completions of practice, which saw a hint, that mention it or repeat eight of its words in a "
    "row. What matters is that the completions without one do not: see Leakage.",
    "Distance to the base model": "The KL divergence from the base model, in nats per token.",
}
"""Curves, and what they show."""


def panel(feed: JobFeed) -> None:
    st.caption(
        "The teacher is the model itself with a hint that it will not have later. Two things can go wrong: the teacher "
        "reacts to the presence of a hint rather than to its content, or the model learns to write as if it had seen "
        "one. As a control, the teacher sometimes scores the same completions with another row's hint: the placebo."
    )
    if not feed.has_completions:
        st.info(
            "Measurements start with the first step that samples completions; imitation does not.",
            icon=":material/hourglass_empty:",
        )
        return
    for found in leakage.findings(feed.metrics):
        BANNERS[found.level](found.text, title=found.title, icon=ICONS[found.level])
        if found.figures is not None:
            st.caption("How it was measured", help=found.figures)
    there = [name for name in SHOWN if name in available(feed.metrics)]
    with st.grid(min_column_width=CHART_PX):
        for name in there:
            unit, series = CURVES[name]
            with st.container():
                st.markdown(f"**{name}**", help=SHOWN[name])
                charts.metric_curves(feed.metrics, series, unit=unit, key=f"leakage_{list(SHOWN).index(name)}")
