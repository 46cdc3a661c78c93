"""The effect of the teacher's hint on a job, judged from its metrics. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from frontend.api.types import StepMetrics
from frontend.words import units

MEASURED = 5
"""Number of the newest measurements that are averaged, since each covers few completions."""
MENTION_STEPS = 20
"""Number of steps, first and newest, over which mentions of a hint are averaged."""
MUCH_MORE, MORE = 2.0, 1.25
"""Factors by which hint and placebo must differ, either way, to show that the content counts; that it counts at all.

They differ little if only the presence of a hint matters. A placebo that the teacher reads contradicts the completion,
and may move the teacher more than the hint that fits.
"""
MANY_MENTIONS, GREW = 0.05, 0.02
NEARLY_ALIKE = (
    "The effects of the row's own hint and of another row's hint on the teacher differ only by a factor of "
    "{times:.1f}: much of the teacher's evidence comes from the mere presence of a hint. A more detailed hint (a "
    "worked solution) or a method that subtracts this part (RLSD with a template contrast) may help."
)
ALIKE = (
    "The row's own hint and another row's hint have about the same effect on the teacher: it reacts to the presence of "
    "a hint, not to its content. Expect no more than from GRPO. Try a more detailed hint, and check the hint column."
)

Level = Literal["good", "warn", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class LeakageFinding:
    """A finding. `figures`: the numbers that the text is based on."""

    level: Level
    title: str
    text: str
    figures: str | None = None


def _newest(metrics: Sequence[StepMetrics], name: str, *, most: int) -> float | None:
    known = [value for m in metrics if (value := m["values"].get(name)) is not None][-most:]
    return sum(known) / len(known) if known else None


def placebo(metrics: Sequence[StepMetrics]) -> LeakageFinding:
    """Judge whether the content of the hint matters, or only its presence."""
    own = _newest(metrics, "hint_delta_abs_mean", most=MEASURED)
    other = _newest(metrics, "placebo_delta_abs_mean", most=MEASURED)
    title = "Does the content of the hint matter?"
    if own is None or other is None:
        return LeakageFinding(
            "unknown",
            title,
            "Not measured yet, or not possible for this job: it needs a method with a teacher, a hint from the row or "
            "a right completion of its group, and rows with different hints.",
        )
    figures = (
        f"The row's own hint changes a token's log-probability by {own:.3f} on average, another row's hint (the "
        f"placebo) by {other:.3f}. Average of the newest {MEASURED} measurements."
    )
    level, text = _compare(own, other)
    return LeakageFinding(level, title, text, figures)


def _compare(own: float, other: float) -> tuple[Level, str]:
    """Compare the effects of the two hints on the teacher, in words."""
    if own == other == 0:
        return "bad", "The teacher does not react to hints: they add nothing over GRPO."
    low, high = sorted((own, other))
    times = high / low if low > 0 else float("inf")
    much = f"{times:.1f} times as much as" if low > 0 else "but not"
    if times >= MUCH_MORE and own > other:
        return "good", f"The row's own hint affects the teacher {much} another row's hint: the content matters."
    if times >= MUCH_MORE:
        strange = "Another row's hint, which does not fit the completion,"
        return "good", f"{strange} affects the teacher {much} the row's own: the content matters."
    if times >= MORE:
        return "warn", NEARLY_ALIKE.format(times=times)
    return "bad", ALIKE


def mentions(metrics: Sequence[StepMetrics]) -> LeakageFinding:
    """Judge whether the model mentions a hint that it was never shown."""
    title = "Does the model mention a hint?"
    known = [value for m in metrics if (value := m["values"].get("leakage")) is not None]
    if not known:
        return LeakageFinding("unknown", title, "Not measured yet.")
    first, last = known[:MENTION_STEPS], known[-MENTION_STEPS:]
    before, after = sum(first) / len(first), sum(last) / len(last)
    now = units.percent(after, decimals=1)
    words = "“the hint”, “the answer key”, “the reference solution” and the like, which only the teacher sees"
    if after >= MANY_MENTIONS and after - before >= GREW:
        return LeakageFinding(
            "bad",
            title,
            f"{now} of the newest completions mention {words}; at first it was {units.percent(before, decimals=1)}. "
            "The model is learning to pretend that it has seen a hint. Lower λ, or use a method that does not imitate "
            "the hinted teacher.",
        )
    if after >= MANY_MENTIONS:
        return LeakageFinding(
            "warn",
            title,
            f"{now} of the newest completions mention {words}, about as many as at first. The wording of your "
            "questions may be the cause: read some of them.",
        )
    return LeakageFinding("good", title, f"{now} of the newest completions mention {words}.")


def findings(metrics: Sequence[StepMetrics]) -> list[LeakageFinding]:
    return [placebo(metrics), mentions(metrics)]
