"""What the teacher's hint does to a job, judged from its metrics, in plain words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from frontend.api.types import Metrics
from frontend.words import units

MEASURED = 5
"""The newest measurements that are averaged: each is of few completions."""
SPEAKS = 20
"""The newest steps over which talk of a reference is counted."""
MUCH_MORE, MORE = 2.0, 1.25
"""By what factor hint and placebo have to differ, either way, for the hint's words to count; to count at all.

Both are alike where only a hint's presence matters. A placebo that a teacher reads contradicts the text, and may move
it more than the hint that fits.
"""
TALKS, GREW = 0.05, 0.02
NEARLY_ALIKE = (
    "The row's own hint and another row's move the teacher nearly alike, by a factor of {times:.1f} only: a good part "
    "of what the teacher says comes from there being a hint at all. A fuller hint (a worked solution), or a method "
    "that takes this part out (RLSD against its template), may help."
)
ALIKE = (
    "The row's own hint and another row's move the teacher about the same: it reacts to there being a hint, not to "
    "what it says. Expect no more than from GRPO; try a fuller hint, or see that the hint column holds what it should."
)

Level = Literal["good", "look", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class LeakageFinding:
    """`figures`: what the text is based on, for those who want the numbers."""

    level: Level
    title: str
    text: str
    figures: str | None = None


def _newest(metrics: Sequence[Metrics], name: str, *, most: int) -> float | None:
    known = [value for m in metrics if (value := m["values"].get(name)) is not None][-most:]
    return sum(known) / len(known) if known else None


def placebo(metrics: Sequence[Metrics]) -> LeakageFinding:
    """Does what the hint says matter, or only that there is one?"""
    own = _newest(metrics, "hint_delta_abs_mean", most=MEASURED)
    other = _newest(metrics, "placebo_delta_abs_mean", most=MEASURED)
    title = "Does the hint itself count?"
    if own is None or other is None:
        return LeakageFinding(
            "unknown",
            title,
            "Not measured yet, or not for this job: it takes a method with a teacher, a hint from the row or a right "
            "completion of its group, and rows that say different things.",
        )
    figures = (
        f"A token's log-probability changes by {own:.3f} on average once the teacher is shown the row's own hint, and "
        f"by {other:.3f} with another row's, the placebo. The newest {MEASURED} measurements."
    )
    level, text = _reads(own, other)
    return LeakageFinding(level, title, text, figures)


def _reads(own: float, other: float) -> tuple[Level, str]:
    """How much more the one hint moves the teacher than the other, in words."""
    if own == other == 0:
        return "bad", "The teacher does not react to hints: they add nothing to GRPO."
    low, high = sorted((own, other))
    times = high / low if low > 0 else float("inf")
    much = f"{times:.1f} times as much as" if low > 0 else "and not"
    if times >= MUCH_MORE and own > other:
        return "good", f"Its own hint moves the teacher {much} another row's: it listens to what the hint says."
    if times >= MUCH_MORE:
        strange = "Another row's hint, which does not fit the text,"
        return "good", f"{strange} moves the teacher {much} its own: it reads what a hint says."
    if times >= MORE:
        return "look", NEARLY_ALIKE.format(times=times)
    return "bad", ALIKE


def talk(metrics: Sequence[Metrics]) -> LeakageFinding:
    """Does the model speak of something it was never shown?"""
    title = "Does the model speak of a hint?"
    known = [value for m in metrics if (value := m["values"].get("leakage")) is not None]
    if not known:
        return LeakageFinding("unknown", title, "Not measured yet.")
    first, last = sum(known[:SPEAKS]) / len(known[:SPEAKS]), sum(known[-SPEAKS:]) / len(known[-SPEAKS:])
    now = units.percent(last, decimals=1)
    words = "“the hint”, “the answer key”, “the reference solution” and the like, which only the teacher sees"
    if last >= TALKS and last - first >= GREW:
        return LeakageFinding(
            "bad",
            title,
            f"{now} of the newest completions mention {words}; at first it was {units.percent(first, decimals=1)}. The "
            "model learns to pretend that it has seen a hint. Lower λ, or use a method that does not imitate the "
            "hinted teacher.",
        )
    if last >= TALKS:
        return LeakageFinding(
            "look",
            title,
            f"{now} of the newest completions mention {words}, about as many as at first. It may be how your questions "
            "are worded: read some of them.",
        )
    return LeakageFinding("good", title, f"{now} of the newest completions mention {words}.")


def findings(metrics: Sequence[Metrics]) -> list[LeakageFinding]:
    return [placebo(metrics), talk(metrics)]
