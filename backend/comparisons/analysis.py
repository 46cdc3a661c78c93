"""From the evaluations of runs to what a comparison says. Pure.

An arm is one way of training, run with several seeds. Everything is paired by question: each question's score is the
mean over an arm's seeds and samples, and arms are compared on the questions that all of them answered. Where each seed
holds out rows of its own, a question counts with the seeds that asked it.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backend.comparisons.statistics import (
    DIFFERENCES,
    SCORES,
    Interval,
    holm,
    mean_interval,
    pass_at,
    quick_interval,
    sign_flip_p,
)
from backend.jobs.spec import BudgetUnit

ALPHA = 0.05
FEW_SEEDS = 3
"""With fewer, one lucky run may be all there is to a difference."""


@dataclass(frozen=True)
class Measured:
    """One evaluation of a run: `scores` by row of the dataset, None where the verifier gave none."""

    step: int
    scores: Mapping[int, Sequence[float | None]]

    @cached_property
    def means(self) -> dict[int, float]:
        """Of the samples of each row that has a score."""
        known = {row: [score for score in scores if score is not None] for row, scores in self.scores.items()}
        return {row: _mean(scores) for row, scores in known.items() if scores}


@dataclass(frozen=True, slots=True)
class Run:
    """`tokens` and `seconds` (of all its devices) are what the steps up to each step have used, by step."""

    arm: str
    seed: int
    evaluations: Sequence[Measured]
    tokens: Mapping[int, float]
    seconds: Mapping[int, float]

    def used(self, step: int, budget: BudgetUnit) -> float:
        if budget == "steps":
            return float(step)
        return (self.tokens if budget == "tokens" else self.seconds).get(step, 0.0)

    @property
    def trained(self) -> list[Measured]:
        """The evaluations after a step: what was measured before training says nothing of a way to train."""
        return [measured for measured in self.evaluations if measured.step > 0]

    def at(self, limit: float | None, budget: BudgetUnit) -> Measured | None:
        """The last evaluation after a step that was begun within the budget."""
        within = [e for e in self.trained if limit is None or self.used(e.step - 1, budget) < limit]
        return max(within, key=lambda measured: measured.step, default=None)


@dataclass(frozen=True, slots=True)
class Paired:
    """The questions to compare on, and by seed the rows that every evaluation with it scored at least once."""

    rows: list[int]
    of_seed: Mapping[int, Set[int]]


@dataclass(frozen=True, slots=True)
class Point:
    """`by_seed`: the mean of each seed on what it was asked, in the order of the runs."""

    step: int
    score: Interval
    by_seed: list[float]
    tokens: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ArmResult:
    """`difference` and its p-values are against the first arm; None for that itself and where nothing can be paired."""

    name: str
    seeds: int
    steps: list[int]
    score: Interval | None
    baseline: Interval | None
    pass_at_k: dict[int, float]
    curve: list[Point]
    seconds: float
    cost_per_point_s: float | None
    difference: Interval | None = None
    by_seed: list[float] = field(default_factory=list)
    p_value: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    questions: int
    arms: list[ArmResult]
    verdict: str


def analyse(
    arms: Sequence[str], runs: Sequence[Run], *, budget: BudgetUnit, limit: float | None, success_above: float
) -> Analysis:
    """Arms in their order, the first being what the others are compared with."""
    of_arm = {arm: [run for run in runs if run.arm == arm] for arm in arms}
    reached = {arm: [(run, at) for run in of_arm[arm] if (at := run.at(limit, budget)) is not None] for arm in arms}
    paired = _paired([reached[arm] for arm in arms])
    results = [_arm(arm, of_arm[arm], reached[arm], paired=paired, success_above=success_above) for arm in arms]
    first, *others = arms
    compared = [arm for arm in others if paired.rows and reached[first] and reached[arm]]
    means = {arm: _question_means(reached[arm], paired) for arm in (first, *compared)} if compared else {}
    differences = {arm: means[arm] - means[first] for arm in compared}
    p_values = {arm: sign_flip_p(differences[arm]) for arm in compared}
    adjusted = dict(zip(compared, holm(list(p_values.values())), strict=True))
    results = [
        result
        if result.name not in differences
        else replace(
            result,
            difference=mean_interval(differences[result.name], within=DIFFERENCES),
            by_seed=_by_seed(reached[result.name], reached[first], paired),
            p_value=p_values[result.name],
            p_adjusted=adjusted[result.name],
        )
        for result in results
    ]
    late = [arm for arm in arms if not reached[arm] and any(run.trained for run in of_arm[arm])]
    return Analysis(len(paired.rows), results, _verdict(results, late=late, questions=len(paired.rows)))


def _paired(reached: Sequence[Sequence[tuple[Run, Measured]]]) -> Paired:
    """Of arms, the questions that each one that was measured answered, whatever the seed."""
    of_seed: dict[int, Set[int]] = {}
    for run, measured in (pair for arm in reached for pair in arm):
        of_seed[run.seed] = of_seed.get(run.seed, measured.means.keys()) & measured.means.keys()
    answered = [set[int]().union(*(of_seed[run.seed] for run, _ in arm)) for arm in reached if arm]
    return Paired(sorted(set.intersection(*answered)) if answered else [], of_seed)


def _question_means(reached: Sequence[tuple[Run, Measured]], paired: Paired) -> NDArray[np.float64]:
    """[Q], the mean over the seeds that asked a question of the means over samples."""
    return np.array(
        [
            _mean([measured.means[row] for run, measured in reached if row in paired.of_seed[run.seed]])
            for row in paired.rows
        ],
        dtype=np.float64,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _arm(
    name: str,
    runs: Sequence[Run],
    reached: Sequence[tuple[Run, Measured]],
    *,
    paired: Paired,
    success_above: float,
) -> ArmResult:
    score = mean_interval(_question_means(reached, paired), within=SCORES) if reached and paired.rows else None
    baseline = _baseline(runs)
    seconds = float(np.mean([run.used(at.step, "seconds") for run, at in reached])) if reached else 0.0
    gained = score.mean - baseline.mean if score and baseline else 0.0
    return ArmResult(
        name=name,
        seeds=len(reached),
        steps=[at.step for _, at in reached],
        score=score,
        baseline=baseline,
        pass_at_k=_pass_at_k(reached, paired, success_above=success_above),
        curve=_curve(runs),
        seconds=seconds,
        cost_per_point_s=seconds / (100 * gained) if gained > 0 else None,
    )


def _baseline(runs: Sequence[Run]) -> Interval | None:
    """The score before training, once all seeds were measured then."""
    at = [(run, measured) for run in runs for measured in run.evaluations if measured.step == 0]
    paired = _paired([at])
    return mean_interval(_question_means(at, paired), within=SCORES) if len(at) == len(runs) and paired.rows else None


def _curve(runs: Sequence[Run]) -> list[Point]:
    """At each step that all seeds were measured at."""
    if not runs:
        return []
    of_step = [{measured.step: measured for measured in run.evaluations} for run in runs]
    points = []
    for step in sorted(set.intersection(*(set(measured) for measured in of_step))):
        at = [(run, measured[step]) for run, measured in zip(runs, of_step, strict=True)]
        paired = _paired([at])
        if paired.rows:
            points.append(
                Point(
                    step,
                    quick_interval(_question_means(at, paired), within=SCORES),
                    by_seed=[_mean_score(measured, rows) for run, measured in at if (rows := paired.of_seed[run.seed])],
                    tokens=float(np.mean([run.used(step, "tokens") for run in runs])),
                    seconds=float(np.mean([run.used(step, "seconds") for run in runs])),
                )
            )
    return points


def _pass_at_k(reached: Sequence[tuple[Run, Measured]], paired: Paired, *, success_above: float) -> dict[int, float]:
    """For 1, 2, 4 ... as far as every question has samples."""
    counted = [
        (sum(s > success_above for s in known), len(known))
        for run, measured in reached
        for row in paired.rows
        if row in paired.of_seed[run.seed]
        for known in [[s for s in measured.scores[row] if s is not None]]
    ]
    if not counted:
        return {}
    fewest = min(samples for _, samples in counted)
    ks = [2**power for power in range(fewest.bit_length())]
    return {k: float(np.mean([pass_at(k, right=right, samples=n) for right, n in counted])) for k in ks}


def _by_seed(
    reached: Sequence[tuple[Run, Measured]], first: Sequence[tuple[Run, Measured]], paired: Paired
) -> list[float]:
    """The difference of each seed that both arms have."""
    theirs = {run.seed: measured for run, measured in first}
    return [
        _mean_score(measured, rows) - _mean_score(theirs[run.seed], rows)
        for run, measured in reached
        if run.seed in theirs and (rows := paired.of_seed[run.seed] & set(paired.rows))
    ]


def _mean_score(measured: Measured, rows: Set[int]) -> float:
    return _mean([measured.means[row] for row in sorted(rows)])


def _verdict(results: Sequence[ArmResult], *, late: Sequence[str], questions: int) -> str:
    """What may be said, in one sentence an arm, with the number of questions and the interval.

    `late`: arms that were first measured when their budget was used up.
    """
    first, *others = results
    compared = [other for other in others if other.difference is not None]
    said = [_sentence(other, first, questions=questions) for other in compared]
    if not compared:
        said = ["Nothing can be compared yet: two methods have to be measured first, on the same questions."]
    said += [f"{name} has no result within the budget: it was first measured beyond it." for name in late]
    seeds = min(result.seeds for result in (first, *compared))
    if compared and seeds < FEW_SEEDS:
        said.append(
            f"With {_seeds(seeds)}, luck of a single run is not ruled out: run three or more to tell methods apart."
        )
    return " ".join(said)


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def _sentence(other: ArmResult, first: ArmResult, *, questions: int) -> str:
    difference, p = other.difference, other.p_adjusted
    assert difference is not None
    assert p is not None
    if difference.low is None or difference.high is None:
        return f"{other.name}: one question is not enough to compare."
    seeds = min(first.seeds, other.seeds)
    few = f"only {_seeds(seeds)}, " if seeds < FEW_SEEDS else ""
    facts = f"{few}n = {questions}, interval {difference.low:+.3f} to {difference.high:+.3f}"
    if p >= ALPHA:
        return f"{other.name}: no difference to {first.name} shown ({facts}, p = {p:.2g})."
    better = "better" if difference.mean > 0 else "worse"
    return f"{other.name} is {abs(difference.mean):.3f} {better} than {first.name} ({facts}, p = {p:.2g})."
