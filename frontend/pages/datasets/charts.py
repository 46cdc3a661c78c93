"""The pictures of a file's report: how long its texts are, how often something occurs."""

import altair as alt
import streamlit as st

from frontend.api.types import Json
from frontend.components.charts import Table, draw

FEW_BARS = 8
"""So many have room for their labels side by side."""


def histogram(bars: Table, *, unit: str, of: str, key: str) -> None:
    """`bars`: `{low, high, rows}`, both ends included; the last one may be wide and is drawn like the others."""
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
    draw(chart, shown, key=key, alt_text=f"How many rows have {of}s of which length, in {unit}")


def frequencies(table: Table, *, name: str, key: str, alt_text: str) -> None:
    """`table`: `{<name>, rows}`, the most frequent first."""
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
    """One kind of text: its histogram and the numbers under it."""
    if found.get("histogram"):
        histogram(found["histogram"], unit=unit, of=of, key=key)
    if found["min"] == found["max"]:
        st.caption(f"Every {of} has {found['min']:,} {unit}.")
        return
    st.caption(
        f"{of.capitalize()}s have {found['min']:,} to {found['max']:,} {unit}: half of them at most "
        f"{found['median']:,.0f}, nineteen in twenty at most {found['p95']:,.0f}."
    )
