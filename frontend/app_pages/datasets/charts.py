"""Charts of a file's report: text lengths and frequencies."""

import altair as alt
import streamlit as st

from frontend.api.types import Json
from frontend.components.charts import Table, draw

FEW_BARS = 8
"""With more bars than this, the labels are slanted."""


def histogram(bars: Table, *, unit: str, of: str, key: str) -> None:
    """Draw text lengths. `bars`: `{low, high, rows}`, both ends included; a wide last bar is drawn like the others."""
    shown = [
        {"length": f"{bar['low']:,}" if bar["low"] == bar["high"] else f"{bar['low']:,} to {bar['high']:,}", **bar}
        for bar in bars
    ]
    angle = 0 if len(shown) <= FEW_BARS else -45
    chart = (
        alt.Chart(alt.NamedData("rows"))
        .mark_bar()
        .encode(
            x=alt.X(
                "length:O", sort=None, title=f"{unit} of the {of}", axis=alt.Axis(labelAngle=angle, labelOverlap=True)
            ),
            y=alt.Y("rows:Q", title="rows", axis=alt.Axis(tickMinStep=1)),
            tooltip=[alt.Tooltip("length:O", title=unit), alt.Tooltip("rows:Q", format=",d")],
        )
    )
    draw(chart, shown, key=key, alt_text=f"Number of rows by length of the {of}, in {unit}")


def frequencies(table: Table, *, name: str, key: str, alt_text: str) -> None:
    """Draw frequencies. `table`: `{<name>, rows}`, the most frequent first."""
    chart = (
        alt.Chart(alt.NamedData("rows"))
        .mark_bar()
        .encode(
            y=alt.Y(f"{name}:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)),
            x=alt.X("rows:Q", title="rows", axis=alt.Axis(tickMinStep=1)),
            tooltip=[alt.Tooltip(f"{name}:N"), alt.Tooltip("rows:Q", format=",d")],
        )
    )
    draw(chart, table, key=key, alt_text=alt_text)


def spread(found: Json, *, of: str, unit: str, key: str) -> None:
    """Show the lengths of one kind of text: histogram and summary."""
    if found.get("histogram"):
        histogram(found["histogram"], unit=unit, of=of, key=key)
    if found["min"] == found["max"]:
        st.caption(f"Every {of} has {found['min']:,} {unit}.")
        return
    st.caption(
        f"{of.capitalize()}s have {found['min']:,} to {found['max']:,} {unit}: the median is {found['median']:,.0f}, "
        f"the 95th percentile {found['p95']:,.0f}."
    )
