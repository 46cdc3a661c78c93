"""What the hint does to a job: the placebo control, talk of a hint, and the distance to the base model."""

import streamlit as st

from frontend.components import charts
from frontend.components.job_feed import JobFeed
from frontend.pages.job import leakage
from frontend.pages.job.curves import CURVES, available

BANNERS = {"good": st.success, "look": st.warning, "bad": st.error, "unknown": st.info}
ICONS = {
    "good": ":material/check_circle:",
    "look": ":material/warning:",
    "bad": ":material/error:",
    "unknown": ":material/help:",
}
CHART_PX = 360
SHOWN = {
    "Hint against placebo": "The mean size of the log-ratio: how far a token's log-probability moves once there is a "
    "hint.",
    "Leakage": "Completions that speak of a reference or a hint.",
    "Distance to the base model": "The KL divergence from the base model, in nats a token.",
}
"""Curves, and what their figures are."""


def panel(feed: JobFeed) -> None:
    st.caption(
        "The teacher is the model itself with a hint that it will not have later. Two things can go wrong: the teacher "
        "reacts to there being a hint rather than to what it says, or the model learns to speak as if it had seen it. "
        "Now and then the same completions are therefore shown to the teacher with another row's hint: the placebo."
    )
    if not feed.metrics:
        st.info("Measured from the first step on.", icon=":material/hourglass_empty:")
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
