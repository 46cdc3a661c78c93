"""The report of a pre-flight: verdict, solve rates, effect of the hint, estimated training time."""

from typing import Any

import altair as alt
import streamlit as st

from frontend.api.types import Json
from frontend.components import charts, check_verdict
from frontend.words import units

TITLES = {"pass": "Ready to train", "warn": "Check this first", "fail": "Training would have no effect"}
HELPS = {"yes": "helps", "no": "does not help", "unclear": "unclear", "not_needed": "not needed", None: "not tested"}
ROW_HEIGHT_PX, TABLE_HEIGHT_PX = 35, 320


def show(report: Json, *, before: Json | None, key: str) -> None:
    """Show a report from the API; it contains only the verdict if no row fitted.

    `before`: the report with which the remedy was offered that was then tried.
    """
    level = report["verdict"]
    banner = {"pass": st.success, "warn": st.warning, "fail": st.error}[level]
    banner(report["summary"], icon=check_verdict.LOOKS[level][2], title=TITLES[level])
    check_verdict.findings(report["findings"], summary=report["summary"])
    if "histogram" not in report:
        return
    _figures(report, before=before if before is not None and "histogram" in before else None)
    left, right = st.columns(2, gap="large")
    with left:
        _histogram(report, key=f"{key}_histogram")
    with right:
        _hint(report["hint"], key=f"{key}_hint")
    _rows(report, key=key)
    st.caption(
        f"Mixed groups: {report['mixed']['how']}. Time: from {_seconds(report['time'])}, without "
        f"{report['time']['leaves_out']}."
    )


def _figures(report: Json, *, before: Json | None) -> None:
    columns = st.columns(4)
    rate, mixed, time = report["solve_rate"], report["mixed"]["share"], report["time"]
    columns[0].metric(
        "Solve rate",
        _share(rate),
        None if before is None else f"before: {_share(before['solve_rate'])}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        help="Mean over rows, with its 95 % interval below.",
    )
    columns[0].caption(_interval(rate))
    columns[1].metric(
        f"Mixed groups of {report['group']}",
        _share(mixed),
        None if before is None else f"before: {_share(before['mixed']['share'])}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        help="Only mixed groups have a signal.",
    )
    columns[1].caption(_interval(mixed))
    cut = units.percent(report["completions"]["truncated"])
    columns[2].metric("Tokens per completion", f"{report['completions']['tokens_mean']:,.0f}", border=True)
    columns[2].caption(f"{cut} truncated; the longest has {report['completions']['tokens_max']:,}")
    columns[3].metric("Training time", units.duration(time["total_s"]["mean"]), border=True)
    columns[3].caption(f"{time['steps']:,} steps of {time['step_s']['low']:.2g} to {time['step_s']['high']:.2g} s")


def _histogram(report: Json, *, key: str) -> None:
    st.markdown("**Solve rates of the rows**")
    chart = (
        alt.Chart(alt.NamedData("rows"))
        .mark_bar()
        .encode(
            x=alt.X("rate:N", sort=None, title="share of right completions", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("rows:Q", title="rows", axis=alt.Axis(tickMinStep=1, format="d")),
            color=alt.Color(
                "teaches:N",
                title=None,
                legend=None,
                scale=alt.Scale(
                    domain=[charts.WRONG, charts.MIXED, charts.RIGHT],
                    range=[charts.GROUP_COLORS[name] for name in (charts.WRONG, charts.MIXED, charts.RIGHT)],
                ),
            ),
            tooltip=["rate:N", "rows:Q"],
        )
    )
    charts.draw(chart, histogram_table(report["histogram"]), key=key, alt_text="Number of rows by solve rate")


def histogram_table(histogram: list[Json]) -> list[dict[str, Any]]:
    """Build `rate, rows, teaches`, one line per bar."""
    return [
        {
            "rate": _bar_name(entry["low"], entry["high"]),
            "rows": entry["rows"],
            "teaches": charts.WRONG if entry["high"] == 0 else charts.RIGHT if entry["low"] == 1 else charts.MIXED,
        }
        for entry in histogram
    ]


def _bar_name(low: float, high: float) -> str:
    if low == high:
        return "never" if high == 0 else "always"
    return f"{low * 100:.0f}-{units.percent(high)}"


def _hint(hint: Json | None, *, key: str) -> None:
    st.markdown("**Does the hint help?**")
    if hint is None:
        st.caption("This method does not show a hint to a teacher.")
        return
    if hint["helps"] is None:
        st.caption(f"No row could be tested with the hint “{hint['kind']}”.")
        return
    with st.container(horizontal=True):
        st.metric("Without", units.percent(hint["without"]), width=110)
        st.metric("With the hint", units.percent(hint["shown"]), width=130)
        difference = hint["difference"]
        st.metric("Difference", _signed(difference["mean"]), width=130)
        st.badge(HELPS[hint["helps"]], color="green" if hint["helps"] in ("yes", "not_needed") else "orange")
    st.caption(
        f"The base model with and without the hint “{hint['kind']}”, on {units.count(hint['rows'], 'row')}; 95 % "
        f"interval of the difference {_signed(difference['low'])} to {_signed(difference['high'])}, "
        f"p {units.small_probability(hint['p_value'])}."
    )
    if hint["rows_without"]:
        st.caption(f"{units.count(hint['rows_without'], 'row')} without this hint left out.")
    if hint["not_helped"]:
        st.caption(f"Rows where it does not help: {', '.join(map(str, hint['not_helped']))}.")


def _rows(report: Json, *, key: str) -> None:
    lists = {
        "never": ("Never solved", report["never_solved"]),
        "always": ("Always solved", report["always_solved"]),
        "all": ("All tested", [row["row"] for row in report["per_row"]]),
    }
    chosen = st.segmented_control(
        "Rows",
        list(lists),
        format_func=lambda name: f"{lists[name][0]} ({len(lists[name][1])})",
        default="never" if report["never_solved"] else "all",
        required=True,
        key=f"{key}_rows_shown",
    )
    wanted = set(lists[chosen][1])
    table = [row for row in report["per_row"] if row["row"] in wanted]
    st.dataframe(
        table,
        hide_index=True,
        height=min(38 + ROW_HEIGHT_PX * max(1, len(table)), TABLE_HEIGHT_PX),
        alt="Rows with their solve rates",
        column_order=["row", "question", "solve_rate", "hinted_solve_rate", "completion_score", "completion"],
        column_config={
            "solve_rate": st.column_config.NumberColumn("solved", format="percent"),
            "hinted_solve_rate": st.column_config.NumberColumn("with hint", format="percent"),
            "completion_score": st.column_config.NumberColumn("score", format="%.3g"),
            "completion": st.column_config.TextColumn("first completion"),
        },
    )


def _share(interval: Json | None) -> str:
    return "none scored" if interval is None else units.percent(interval["mean"])


def _interval(interval: Json | None) -> str:
    return "" if interval is None else f"{units.percent(interval['low'])} to {units.percent(interval['high'])}"


def _signed(share: float) -> str:
    return f"{share * 100:+.0f} points"


def _seconds(time: Json) -> str:
    return "the steps that were run" if time["step_measured"] else "sampling only"
