"""Statistical analysis of a comparison from the evaluations of its runs. Pure.

An arm is one training configuration, run with several seeds. Everything is paired by question: each question's score is
the mean over an arm's seeds and samples, and arms are compared on the questions that all of them answered. If each seed
holds out its own rows, only the seeds that evaluated a question count for it.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backend.core import statistics
from backend.core.outcome import Verdict, shown
from backend.core.settings.choices import BudgetUnit
from backend.core.statistics import DIFFERENCES, SCORES, Bounds, mean_interval, t_interval

FEW_SEEDS = 3
"""With fewer seeds, a difference may be due to a single lucky run."""


@dataclass(frozen=True)
class EvaluationScores:
    """One evaluation of a run: `scores` by row of the dataset, None if the verifier gave none.

    `selection`: of a run that keeps its best step, the score on other rows by which it chooses.
    """

    step: int
    scores: Mapping[int, Sequence[float | None]]
    selection: float | None = None

    @cached_property
    def means(self) -> dict[int, float]:
        """Mean score of each row with any scored samples."""
        known = {row: [score for score in scores if score is not None] for row, scores in self.scores.items()}
        return {row: _mean(scores) for row, scores in known.items() if scores}

    @cached_property
    def completions(self) -> int:
        return sum(len(scores) for scores in self.scores.values())

    @cached_property
    def unscored(self) -> int:
        """Completions without a score, which are left out of every mean."""
        return sum(score is None for scores in self.scores.values() for score in scores)


@dataclass(frozen=True, slots=True)
class Run:
    """A training run. `tokens` and `seconds` (of all its devices): cumulative use by step."""

    arm: str
    seed: int
    evaluations: Sequence[EvaluationScores]
    tokens: Mapping[int, float]
    seconds: Mapping[int, float]

    def used(self, step: int, budget: BudgetUnit) -> float:
        if budget == "steps":
            return float(step)
        return (self.tokens if budget == "tokens" else self.seconds).get(step, 0.0)

    @property
    def after_training(self) -> list[EvaluationScores]:
        """The evaluations after training steps, without the one before training."""
        return [evaluation for evaluation in self.evaluations if evaluation.step > 0]

    def at(self, limit: float | None, budget: BudgetUnit) -> EvaluationScores | None:
        """Return the last evaluation after a step that started within the budget.

        Of a run that keeps its best step, it is the best of these and the one before training, the earlier of equals.
        """
        within = self._within(limit, budget)
        chosen = [e for e in self.evaluations if e.selection is not None and (e.step == 0 or e in within)]
        if not within or not chosen:
            return max(within, key=lambda evaluation: evaluation.step, default=None)
        return max(chosen, key=lambda evaluation: (evaluation.selection, -evaluation.step))

    def spent(self, limit: float | None, budget: BudgetUnit) -> float:
        """Return the seconds up to the last evaluation after a step that started within the budget."""
        return max((self.used(e.step, "seconds") for e in self._within(limit, budget)), default=0.0)

    def _within(self, limit: float | None, budget: BudgetUnit) -> list[EvaluationScores]:
        return [e for e in self.after_training if limit is None or self.used(e.step - 1, budget) < limit]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval over questions; None for a single question."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PairedQuestions:
    """The questions to compare on, and for each seed the rows that all its evaluations scored."""

    rows: list[int]
    rows_of_seed: Mapping[int, Set[int]]


@dataclass(frozen=True, slots=True)
class Point:
    """A point of an arm's curve. `by_seed`: the mean of each seed on its questions, in the order of the runs."""

    step: int
    score: Interval
    by_seed: list[float]
    tokens: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ArmResult:
    """Result of an arm. `difference`, its p-values and `outcome` are relative to the first arm, None if not comparable.

    `unscored`: how many of the `completions` of the compared evaluations have no score, and are left out.
    """

    name: str
    seeds: int
    steps: list[int]
    score: Interval | None
    baseline: Interval | None
    pass_at_k: dict[int, float]
    curve: list[Point]
    seconds: float
    cost_per_point_s: float | None
    completions: int
    unscored: int
    difference: Interval | None = None
    by_seed: list[float] = field(default_factory=list)
    p_value: float | None = None
    p_adjusted: float | None = None

    @property
    def outcome(self) -> Verdict | None:
        """Whether the arm is better than the first."""
        found = self.difference
        if found is None or found.low is None or found.high is None or self.p_adjusted is None:
            return None
        return shown(statistics.Interval(mean=found.mean, low=found.low, high=found.high), p=self.p_adjusted)


@dataclass(frozen=True, slots=True)
class Analysis:
    """Result of a comparison."""

    questions: int
    arms: list[ArmResult]
    verdict: str


def analyse(
    arms: Sequence[str], runs: Sequence[Run], *, budget: BudgetUnit, limit: float | None, success_above: float
) -> Analysis:
    """Compare all arms with the first; `limit` is the budget per run."""
    of_arm = {arm: [run for run in runs if run.arm == arm] for arm in arms}
    evaluated = {arm: [(run, at) for run in of_arm[arm] if (at := run.at(limit, budget)) is not None] for arm in arms}
    paired = _paired([evaluated[arm] for arm in arms])
    seconds = {arm: [run.spent(limit, budget) for run, _ in evaluated[arm]] for arm in arms}
    results = [
        _arm(arm, of_arm[arm], evaluated[arm], seconds=seconds[arm], paired=paired, success_above=success_above)
        for arm in arms
    ]
    first, *others = arms
    compared = [arm for arm in others if paired.rows and evaluated[first] and evaluated[arm]]
    means = {arm: _question_means(evaluated[arm], paired) for arm in (first, *compared)} if compared else {}
    differences = {arm: means[arm] - means[first] for arm in compared}
    p_values = {
        arm: statistics.sign_flip_p(differences[arm], rng=np.random.default_rng(statistics.SEED)) for arm in compared
    }
    adjusted = dict(zip(compared, statistics.holm(list(p_values.values())), strict=True))
    results = [
        result
        if result.name not in differences
        else replace(
            result,
            difference=_interval(differences[result.name], by=mean_interval, within=DIFFERENCES),
            by_seed=_by_seed(evaluated[result.name], evaluated[first], paired),
            p_value=p_values[result.name],
            p_adjusted=adjusted[result.name],
        )
        for result in results
    ]
    late = [arm for arm in arms if not evaluated[arm] and any(run.after_training for run in of_arm[arm])]
    return Analysis(len(paired.rows), results, _verdict(results, late=late, questions=len(paired.rows)))


def _paired(evaluated: Sequence[Sequence[tuple[Run, EvaluationScores]]]) -> PairedQuestions:
    """Return the questions that every evaluated arm answered, with any seed."""
    rows_of_seed: dict[int, Set[int]] = {}
    for run, evaluation in (pair for arm in evaluated for pair in arm):
        rows_of_seed[run.seed] = rows_of_seed.get(run.seed, evaluation.means.keys()) & evaluation.means.keys()
    answered = [set[int]().union(*(rows_of_seed[run.seed] for run, _ in arm)) for arm in evaluated if arm]
    return PairedQuestions(sorted(set.intersection(*answered)) if answered else [], rows_of_seed)


def _question_means(evaluated: Sequence[tuple[Run, EvaluationScores]], paired: PairedQuestions) -> NDArray[np.float64]:
    """Return [Q], for each question the mean over its seeds of the means over samples."""
    return np.array(
        [
            _mean([evaluation.means[row] for run, evaluation in evaluated if row in paired.rows_of_seed[run.seed]])
            for row in paired.rows
        ],
        dtype=np.float64,
    )


def _interval(values: NDArray[np.float64], *, by: Callable[..., statistics.Interval], within: Bounds) -> Interval:
    if len(values) == 1:
        return Interval(float(values[0]), None, None)
    return Interval(**by(values, within=within))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _arm(
    name: str,
    runs: Sequence[Run],
    evaluated: Sequence[tuple[Run, EvaluationScores]],
    *,
    seconds: Sequence[float],
    paired: PairedQuestions,
    success_above: float,
) -> ArmResult:
    score = None
    if evaluated and paired.rows:
        score = _interval(_question_means(evaluated, paired), by=mean_interval, within=SCORES)
    baseline = _baseline(runs)
    mean_s = float(np.mean(seconds)) if seconds else 0.0
    gained = _gained(evaluated, paired) if score and baseline else 0.0
    return ArmResult(
        name=name,
        seeds=len(evaluated),
        steps=[at.step for _, at in evaluated],
        score=score,
        baseline=baseline,
        pass_at_k=_pass_at_k(evaluated, paired, success_above=success_above),
        curve=_curve(runs),
        seconds=mean_s,
        cost_per_point_s=mean_s / (100 * gained) if gained > 0 else None,
        completions=sum(at.completions for _, at in evaluated),
        unscored=sum(at.unscored for _, at in evaluated),
    )


def _baseline(runs: Sequence[Run]) -> Interval | None:
    """Return the score before training, once all seeds have been evaluated."""
    at = [(run, evaluation) for run in runs for evaluation in run.evaluations if evaluation.step == 0]
    paired = _paired([at])
    if len(at) < len(runs) or not paired.rows:
        return None
    return _interval(_question_means(at, paired), by=mean_interval, within=SCORES)


def _gained(evaluated: Sequence[tuple[Run, EvaluationScores]], compared: PairedQuestions) -> float:
    """Return the gain over the base model on the compared questions; 0 if none was shown."""
    before = [(run, evaluation) for run, _ in evaluated for evaluation in run.evaluations if evaluation.step == 0]
    paired = _paired([before, evaluated])
    rows = [row for row in paired.rows if row in compared.rows]
    if len(rows) < 2:
        return 0.0
    paired = replace(paired, rows=rows)
    gains = _question_means(evaluated, paired) - _question_means(before, paired)
    interval = mean_interval(gains, within=DIFFERENCES)
    p = statistics.sign_flip_p(gains, rng=np.random.default_rng(statistics.SEED))
    return interval["mean"] if shown(interval, p=p) is Verdict.BETTER else 0.0


def _curve(runs: Sequence[Run]) -> list[Point]:
    """Return a point for each step at which all seeds were evaluated."""
    if not runs:
        return []
    of_step = [{evaluation.step: evaluation for evaluation in run.evaluations} for run in runs]
    points = []
    for step in sorted(set.intersection(*(set(evaluation) for evaluation in of_step))):
        at = [(run, evaluation[step]) for run, evaluation in zip(runs, of_step, strict=True)]
        paired = _paired([at])
        if paired.rows:
            points.append(
                Point(
                    step,
                    _interval(_question_means(at, paired), by=t_interval, within=SCORES),
                    by_seed=[
                        _mean_score(evaluation, rows)
                        for run, evaluation in at
                        if (rows := paired.rows_of_seed[run.seed])
                    ],
                    tokens=float(np.mean([run.used(step, "tokens") for run in runs])),
                    seconds=float(np.mean([run.used(step, "seconds") for run in runs])),
                )
            )
    return points


def _pass_at_k(
    evaluated: Sequence[tuple[Run, EvaluationScores]], paired: PairedQuestions, *, success_above: float
) -> dict[int, float]:
    """Compute pass@k for k = 1, 2, 4 ... up to the smallest number of samples of a question."""
    counted = [
        (sum(s > success_above for s in known), len(known))
        for run, evaluation in evaluated
        for row in paired.rows
        if row in paired.rows_of_seed[run.seed]
        for known in [[s for s in evaluation.scores[row] if s is not None]]
    ]
    if not counted:
        return {}
    fewest = min(samples for _, samples in counted)
    ks = [2**power for power in range(fewest.bit_length())]
    return {k: float(np.mean([statistics.pass_at(k, right=right, samples=n) for right, n in counted])) for k in ks}


def _by_seed(
    evaluated: Sequence[tuple[Run, EvaluationScores]],
    first: Sequence[tuple[Run, EvaluationScores]],
    paired: PairedQuestions,
) -> list[float]:
    """Return the difference for each seed that both arms have."""
    theirs = {run.seed: evaluation for run, evaluation in first}
    return [
        _mean_score(evaluation, rows) - _mean_score(theirs[run.seed], rows)
        for run, evaluation in evaluated
        if run.seed in theirs and (rows := paired.rows_of_seed[run.seed] & set(paired.rows))
    ]


def _mean_score(evaluation: EvaluationScores, rows: Set[int]) -> float:
    return _mean([evaluation.means[row] for row in sorted(rows)])


def _verdict(results: Sequence[ArmResult], *, late: Sequence[str], questions: int) -> str:
    """Summarise the result in one sentence per arm, with the number of questions and the interval.

    `late`: arms whose first evaluation was after their budget was used up.
    """
    first, *others = results
    compared = [other for other in others if other.difference is not None]
    sentences = [_sentence(other, first, questions=questions) for other in compared]
    if not compared:
        sentences = ["Nothing can be compared yet: two methods must first be evaluated on the same questions."]
    sentences += [f"{name} has no result within the budget: its first evaluation came later." for name in late]
    sentences += [
        f"{result.name}: {result.unscored} of {result.completions} held-out completions had no score and are left out."
        for result in results
        if result.unscored
    ]
    seeds = min(result.seeds for result in (first, *compared))
    if compared and seeds < FEW_SEEDS:
        sentences.append(
            f"With {_seeds(seeds)}, the difference may be due to a single lucky run: use three or more seeds."
        )
    return " ".join(sentences)


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def _sentence(other: ArmResult, first: ArmResult, *, questions: int) -> str:
    difference, p = other.difference, other.p_adjusted
    assert difference is not None
    assert p is not None
    if difference.low is None or difference.high is None:
        return f"{other.name}: one question is not enough for a comparison."
    seeds = min(first.seeds, other.seeds)
    few = f"only {_seeds(seeds)}, " if seeds < FEW_SEEDS else ""
    facts = f"{few}n = {questions}, interval {difference.low:+.3f} to {difference.high:+.3f}"
    if other.outcome is Verdict.UNDECIDED:
        excluded = not difference.low <= 0 <= difference.high
        why = " Only few answers differ, so that chance alone explains such an interval." if excluded else ""
        return f"{other.name}: no significant difference from {first.name} ({facts}, p = {p:.2g}).{why}"
    return f"{other.name} is {abs(difference.mean):.3f} {other.outcome} than {first.name} ({facts}, p = {p:.2g})."
