"""The matrix of a self-check: one line per tested text, one column per dataset row."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import streamlit as st

from frontend.api.types import Json, SelfCheckResult
from frontend.components.charts import Table

FULL, LESS, FOOLED, SAFE, FAULT, SILENT = (
    "right, full score",
    "right, lower score",
    "wrong, but full score",
    "wrong, lower score",
    "error or time limit",
    "abstained: no score",
)
COLORS = {FULL: "#15803d", LESS: "#cbd5e1", FOOLED: "#dc2626", SAFE: "#a7f3d0", FAULT: "#f59e0b", SILENT: "#94a3b8"}
DARK = (FULL, FOOLED)
LINE_PX, COLUMN_PX = 24, 46


def show(found: SelfCheckResult, *, key: str) -> None:
    """Show all scores as a chart, then the texts of one row."""
    st.caption(
        f"The full score is {found['full_marks']:g}. One dark green cell per column is enough; red is a wrong text "
        "that got the full score, – an abstention, ! an error."
    )
    _chart(found, key=key)
    numbers = [row["row"] for row in found["rows"]]
    chosen = st.selectbox("Texts of row", numbers, key=f"{key}_row")
    row = next((row for row in found["rows"] if row["row"] == chosen), None)
    if row is not None:
        st.dataframe(
            texts(row, found["probes"]),
            hide_index=True,
            alt="Each text of the row and its score",
            column_config={"text": st.column_config.TextColumn(width="large")},
        )


def outcome(cell: Json, kind: str) -> str:
    """Classify a cell's score for a text of this kind."""
    if cell["status"] in ("error", "timeout"):
        return FAULT
    if cell["score"] is None:
        return SILENT
    if kind == "right":
        return FULL if cell["full"] else LESS
    return FOOLED if cell["full"] else SAFE


def table_of(found: SelfCheckResult) -> Table:
    """Build a tidy table with one line per existing cell."""
    return [
        {
            "row": str(row["row"]),
            "text": probe["label"],
            "outcome": outcome(cell, probe["kind"]),
            "shown": _shown(cell),
            "wrote": cell["text"],
            "reason": cell["reason"] or "",
        }
        for row in found["rows"]
        for probe, cell in zip(found["probes"], row["cells"], strict=True)
        if cell is not None
    ]


def _shown(cell: Json) -> str:
    if cell["score"] is not None:
        return f"{cell['score']:.3g}"
    return "–" if cell["status"] == "abstain" else "!"


def texts(row: Json, probes: Sequence[Json]) -> list[dict[str, Any]]:
    return [
        {
            "tested": probe["label"],
            "score": cell["score"],
            "meaning": outcome(cell, probe["kind"]),
            "text": cell["text"],
            "reason": cell["reason"] or "",
        }
        for probe, cell in zip(probes, row["cells"], strict=True)
        if cell is not None
    ]


def _chart(found: SelfCheckResult, *, key: str) -> None:
    labels = [probe["label"] for probe in found["probes"]]
    rows = [str(row["row"]) for row in found["rows"]]
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=alt.X("row:N", title="row of the data", sort=rows, axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("text:N", title=None, sort=labels, axis=alt.Axis(labelLimit=260)),
        tooltip=["text:N", "row:N", "shown:N", "wrote:N", "reason:N"],
    )
    color = alt.Color(
        "outcome:N",
        title=None,
        scale=alt.Scale(domain=list(COLORS), range=list(COLORS.values())),
        legend=alt.Legend(orient="bottom", columns=3),
    )
    dark = alt.FieldOneOfPredicate(field="outcome", oneOf=list(DARK))
    chart = base.mark_rect(stroke="white", strokeWidth=1, cornerRadius=3).encode(color=color) + base.mark_text(
        fontSize=11
    ).encode(text="shown:N", color=alt.condition(dark, alt.value("white"), alt.value("#1c1f2e")))
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("data", None)
    st.vega_lite_chart(
        table_of(found),
        spec,
        key=key,
        alt="Scores of every text on every tested row",
        height=LINE_PX * len(labels) + 110,
        width=min(900, 260 + COLUMN_PX * max(4, len(rows))),
    )
