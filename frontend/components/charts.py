"""Charts as Altair specs over tidy tables. Colours come from the theme (frontend/.streamlit/config.toml).

A spec never contains data: `draw` passes both to Streamlit separately, so new rows are added to the existing chart
instead of replacing it, and a live curve grows without flicker.
"""

import math
from typing import Any

import altair as alt
import streamlit as st

from frontend.api.types import EvaluationObject, StepMetrics

SMOOTH_STEPS = 10
HEIGHT_PX = 260
TICKS = 6
FEW_POINTS = 60
"""A series with fewer points shows them: some metrics are measured only every few steps."""
MOST_BARS = 100
"""With more steps than this, neighbouring steps share a bar, so that no bar is thinner than a line."""
RIGHT, MIXED, WRONG = "all right", "mixed", "all wrong"
GROUP_COLORS = {RIGHT: "#16a34a", MIXED: "#6366f1", WRONG: "#dc2626"}


Table = list[dict[str, Any]]
"""Rows of a tidy table, by column."""


def draw(chart: alt.Chart | alt.LayerChart, data: Table, *, key: str, alt_text: str) -> None:
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("data", None)
    st.vega_lite_chart(data, spec, key=key, alt=alt_text, height=HEIGHT_PX)


def _empty() -> alt.Chart:
    return alt.Chart(alt.NamedData("rows"))


def table_of(metrics: list[StepMetrics], names: dict[str, str]) -> Table:
    """Build a long table `step, series, value`. `names`: labels by metric name; missing values are left out."""
    return [
        {"step": m["step"], "series": label, "value": m["values"][name]}
        for m in metrics
        for name, label in names.items()
        if m["values"].get(name) is not None
    ]


def imitated(metrics: list[StepMetrics]) -> list[StepMetrics]:
    """Return the steps of imitation."""
    return [m for m in metrics if m["values"].get("target_tokens") is not None]


def reward_table(metrics: list[StepMetrics]) -> Table:
    """Build `step, reward, smooth`: the mean reward of each step and its running mean."""
    known = [(m["step"], reward) for m in metrics if (reward := m["values"].get("reward_mean")) is not None]
    table = []
    for place, (step, reward) in enumerate(known):
        window = [value for _, value in known[max(0, place + 1 - SMOOTH_STEPS) : place + 1]]
        table.append({"step": step, "reward": reward, "smooth": sum(window) / len(window)})
    return table


def group_table(metrics: list[StepMetrics]) -> Table:
    """Build stacked bars: for each range of steps the mean share of prompts by outcome.

    Columns: `first`, `last` (steps), `start`, `end` (of the bar), `series`, `share`, `low`, `high` (of the bar).
    """
    names = {RIGHT: "groups_all_right", MIXED: "groups_mixed", WRONG: "groups_all_wrong"}
    known = [m for m in metrics if all(m["values"].get(name) is not None for name in names.values())]
    together = max(1, math.ceil(len(known) / MOST_BARS))
    table = []
    for begin in range(0, len(known), together):
        run = known[begin : begin + together]
        first, last = run[0]["step"], run[-1]["step"]
        place = {"first": first, "last": last, "start": first - 0.5, "end": last + 0.5}
        low = 0.0
        for series, name in names.items():
            share = sum(m["values"][name] or 0.0 for m in run) / len(run)
            table.append({**place, "series": series, "share": share, "low": low, "high": low + share})
            low += share
    return table


def _steps_axis(field: str = "step:Q") -> alt.X:
    """Return an axis of whole steps, without 0 and without overlapping labels."""
    axis = alt.Axis(tickMinStep=1, tickCount=TICKS, format=",d", grid=False, labelOverlap=True)
    return alt.X(field, title="step", axis=axis, scale=alt.Scale(zero=False, nice=False))


def reward_curve(table: Table, *, key: str) -> None:
    base = _empty().encode(x=_steps_axis())
    tooltip = [
        alt.Tooltip("step:Q", title="step"),
        alt.Tooltip("reward:Q", title="mean reward", format=".3f"),
        alt.Tooltip("smooth:Q", title=f"mean of {SMOOTH_STEPS} steps", format=".3f"),
    ]
    y = alt.Y("reward:Q", title="mean reward", scale=_from_zero(table, "reward"), axis=alt.Axis(tickCount=TICKS))
    points = base.mark_circle(size=22, opacity=0.35).encode(y=y, tooltip=tooltip)
    line = base.mark_line(strokeWidth=2.5).encode(y=alt.Y("smooth:Q", title="mean reward"), tooltip=tooltip)
    draw(points + line, table, key=key, alt_text="Mean reward of each training step, with a running mean")


def _from_zero(table: Table, field: str) -> alt.Scale:
    """Return a scale from 0; up to 1 if all values are 0, where the axis would repeat one number."""
    flat = all(line[field] == 0 for line in table)
    return alt.Scale(domain=[0, 1]) if flat else alt.Scale(zero=True, nice=True)


def group_shares(metrics: list[StepMetrics], *, key: str) -> None:
    """Draw the shares of prompts with all, some or no samples right: only mixed ones have a signal."""
    chart = (
        _empty()
        .mark_rect(opacity=0.85, aria=False)
        .encode(
            x=_steps_axis("start:Q"),
            x2="end:Q",
            y=alt.Y(
                "low:Q",
                title="share of questions",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%", tickCount=5),
            ),
            y2="high:Q",
            color=alt.Color(
                "series:N",
                title=None,
                scale=alt.Scale(domain=list(GROUP_COLORS), range=list(GROUP_COLORS.values())),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                alt.Tooltip("first:Q", title="from step"),
                alt.Tooltip("last:Q", title="to step"),
                alt.Tooltip("series:N", title="samples"),
                alt.Tooltip("share:Q", format=".0%"),
            ],
        )
    )
    draw(chart, group_table(metrics), key=key, alt_text="Share of questions all right, mixed, all wrong, by step")


def held_out(evaluations: list[EvaluationObject], *, key: str) -> None:
    """Draw the mean score on held-out questions with its interval: before, during and after training."""
    kept = next((e["step"] for e in evaluations if e["phase"] == "trained" and e.get("selection")), None)
    after = "after" if kept is None else "kept"
    words = {"baseline": "before", "warm": "after imitation", "interim": "during", "trained": after}
    table = [
        {
            "when": f"{words.get(e['phase'], e['phase'])} (step {e['step']})",
            "mean": e["mean"],
            "low": e["low"],
            "high": e["high"],
        }
        for e in evaluations
        if e["phase"] in ("baseline", "trained") or e["step"] != kept  # it is the same
    ]
    tooltip = ["when:N", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("mean", "low", "high"))]
    base = _empty().encode(y=alt.Y("when:N", sort=None, title=None, axis=alt.Axis(labelLimit=140)))
    axis = alt.Axis(tickCount=TICKS, labelOverlap=True)
    x = alt.X("low:Q", title="held-out score, 95 % interval", scale=_from_zero(table, "high"), axis=axis)
    bars = base.mark_rule(strokeWidth=4, opacity=0.6, color=GROUP_COLORS[MIXED]).encode(
        x=x, x2="high:Q", tooltip=tooltip
    )
    means = base.mark_point(filled=True, size=110, opacity=1).encode(x="mean:Q", tooltip=tooltip)
    draw(bars + means, table, key=key, alt_text="Held-out score before and after training, with intervals")


def metric_curves(metrics: list[StepMetrics], names: dict[str, str], *, unit: str, key: str) -> None:
    table = table_of(metrics, names)
    shares = unit.startswith("share")
    scale = _from_zero(table, "value") if shares else alt.Scale(zero=False)
    axis = alt.Axis(tickCount=TICKS, format="%" if shares else "~g")
    chart = (
        _empty()
        .mark_line(strokeWidth=2, point=len(table) < FEW_POINTS * len(names))  # a lone point has no line
        .encode(
            x=_steps_axis(),
            y=alt.Y("value:Q", title=unit, scale=scale, axis=axis),
            color=alt.Color("series:N", title=None, legend=alt.Legend(orient="top") if len(names) > 1 else None),
            tooltip=["step:Q", "series:N", alt.Tooltip("value:Q", format=".4g")],
        )
    )
    draw(chart, table, key=key, alt_text=f"{', '.join(names.values())} by step")
