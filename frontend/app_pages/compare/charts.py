"""Charts of comparisons: curves with bands, scores with intervals. Colours follow the order of the arms."""

import altair as alt

from frontend.components.charts import Table, draw

LEGEND = alt.Legend(orient="top", labelLimit=260, symbolOpacity=1)


def bands(table: Table, *, order: list[str], unit: str, key: str, alt_text: str) -> None:
    """Draw a line with a band for each series. `table`: `series, step, mean, low, high`."""
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(tickMinStep=1, format=",d", grid=False)),
        color=_color(order, "series"),
    )
    tooltip = [
        alt.Tooltip("series:N", title="method"),
        alt.Tooltip("step:Q"),
        *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("mean", "low", "high")),
    ]
    scale = alt.Scale(zero=False, nice=True)
    band = base.mark_area(opacity=0.16).encode(y=alt.Y("low:Q", title=unit, scale=scale), y2="high:Q")
    few = len({line["step"] for line in table}) < 12
    line = base.mark_line(strokeWidth=2.5, point=few).encode(y=alt.Y("mean:Q", title=unit), tooltip=tooltip)
    draw(band + line, table, key=key, alt_text=alt_text)


def scores(table: Table, *, order: list[str], key: str) -> None:
    """Draw each arm's held-out score with its interval, before and after. `table`: `arm, when, mean, low, high`."""
    tooltip = [
        alt.Tooltip("arm:N", title="method"),
        alt.Tooltip("when:N"),
        *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("mean", "low", "high")),
    ]
    base = alt.Chart(alt.NamedData("rows")).encode(
        y=alt.Y("arm:N", sort=order, title=None, axis=alt.Axis(labelLimit=180)),
        yOffset=alt.YOffset("when:N", sort=["before training", "after training"]),
        opacity=alt.Opacity(
            "when:N",
            title=None,
            scale=alt.Scale(domain=["before training", "after training"], range=[0.4, 1]),
            legend=alt.Legend(orient="top"),
        ),
        color=_color(order, "arm", legend=False),
    )
    scale = alt.Scale(zero=True, nice=True)
    rules = base.mark_rule(strokeWidth=4).encode(
        x=alt.X("low:Q", title="held-out score, 95 % interval", scale=scale), x2="high:Q", tooltip=tooltip
    )
    means = base.mark_point(filled=True, size=110).encode(x="mean:Q", tooltip=tooltip)
    draw(rules + means, table, key=key, alt_text="Held-out scores with 95 % intervals, before and after training")


def _color(order: list[str], field: str, *, legend: bool = True) -> alt.Color:
    """Assign the theme's colours by the position of each arm, whichever of them are drawn."""
    return alt.Color(f"{field}:N", title=None, scale=alt.Scale(domain=order), legend=LEGEND if legend else None)
