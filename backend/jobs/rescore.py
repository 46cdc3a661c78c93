"""Rescoring of stored completions with another verifier: changed scores, and their effect on training.

Each completion has the score record it was trained on and its new one. The job itself does not change.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from backend.core.settings.choices import RewardScale
from backend.db.base import Json
from backend.db.jobs import Job
from backend.db.training import Rollout
from backend.verifiers.record import ScoreRecord, ScoreStatus

SCALE_FLOOR = 1e-6
SAME = 1e-9
"""Scores and advantages closer than this are equal."""
MAX_ROWS = 200
MAX_EXAMPLES = 50
COMPLETION_CHARS = 8_000
"""Characters to which the completion of an example is truncated."""


def select_rollouts(job: Job, *, first: int | None, last: int | None) -> Select[Rollout]:
    """Select the stored completions of these steps, both ends included; None is unbounded. Without practice, whose
    prompts had a hint."""
    statement = select(Rollout).where(Rollout.job_id == job.id, Rollout.hint.is_(None))
    if first is not None:
        statement = statement.where(Rollout.step >= first)
    return statement if last is None else statement.where(Rollout.step <= last)


def has_rollouts(session: Session, job: Job, *, first: int | None, last: int | None) -> bool:
    """Return whether completions of these steps are stored."""
    return bool(session.scalar(select(select_rollouts(job, first=first, last=last).exists())))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringRule:
    """How a job uses scores: settings of the same names. `learns`: whether its method learns from scores.

    `weights_before` and `weights_after`: by the components of the old verifier and of the new one that the job
    normalises apart (`combine`); empty where it learns from the score alone.
    """

    num_generations: int
    scale_rewards: RewardScale
    success_above: float
    weights_before: Mapping[str, float]
    weights_after: Mapping[str, float]
    learns: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RescoredCompletion:
    """A completion: `number` counts within its step, `row` and `line` are the dataset's, `answer` its reference."""

    step: int
    number: int
    row: int
    line: int
    sample: int
    answer: str | None
    completion: str
    before: ScoreRecord
    after: ScoreRecord

    @property
    def changed(self) -> bool:
        if self.before.score is None or self.after.score is None:
            return self.before.status is not self.after.status
        return abs(self.before.score - self.after.score) > SAME


def verdict(record: ScoreRecord, *, success_above: float) -> str:
    """Return `right`, `wrong`, or the status of a record without a score."""
    if record.score is None:
        return record.status.value
    return "right" if record.score > success_above else "wrong"


def advantages(scores_G: Sequence[float | None], *, scale: RewardScale) -> list[float]:
    """Compute the advantages of a group, `[G]`, as in `engine/methods/advantages.py`.

    A completion without a score (None) is excluded from mean and deviation and gets 0, as do all of a group with equal
    scores.
    """
    known = [score for score in scores_G if score is not None]
    if is_dead(scores_G):
        return [0.0] * len(scores_G)
    unit = max(1.0, *map(abs, known))  # of the largest score, so that neither a sum nor a square overflows
    mean = math.fsum(score / unit for score in known) / len(known)
    match scale:
        case RewardScale.STD:
            variance = math.fsum((score / unit - mean) ** 2 for score in known) / max(1, len(known) - 1)
            divisor = math.sqrt(variance) + SCALE_FLOOR / unit
        case RewardScale.MEAN:
            divisor = math.fsum(abs(score / unit) for score in known) / len(known) + SCALE_FLOOR / unit
        case RewardScale.NONE:
            divisor = 1.0 / unit
    return [0.0 if score is None else (score / unit - mean) / divisor for score in scores_G]


def combined_advantages(records_G: Sequence[ScoreRecord], *, weights: Mapping[str, float]) -> list[float]:
    """Compute the advantages of a group whose components are normalised apart, `[G]`, as if it were the whole step.

    As in `engine/methods/advantages.py`, but for the scale that a step's groups share, which changes neither a sign nor
    which advantages are 0.
    """
    total = math.fsum(map(abs, weights.values()))
    parts_KG = [
        [advantage * weight / total for advantage in advantages(values_G, scale=RewardScale.STD)]
        for values_G, weight in zip(components(records_G, weights=weights), weights.values(), strict=True)
    ]
    sums_G = [math.fsum(parts_K) for parts_K in zip(*parts_KG, strict=True)]
    freedom = max(1, sum(record.score is not None for record in records_G) - 1)
    pooled = math.sqrt(math.fsum(value**2 for value in sums_G) / freedom)
    return [value / (pooled + SCALE_FLOOR) for value in sums_G]


def components(records_G: Sequence[ScoreRecord], *, weights: Mapping[str, float]) -> list[list[float | None]]:
    """Return what a group is compared by, `[K, G]`: the components with a weight, or else the scores."""
    if not weights:
        return [[record.score for record in records_G]]
    return [
        [None if record.score is None else record.components.get(name, 0.0) for record in records_G] for name in weights
    ]


def is_dead(scores_G: Sequence[float | None]) -> bool:
    """Return whether a group has no signal: all known scores are equal, or there are none."""
    known = [score for score in scores_G if score is not None]
    return not known or max(known) == min(known)


@dataclass(frozen=True, slots=True)
class _Group:
    """The records that one verifier gave a group, and the weights of the components it is compared by."""

    records_G: Sequence[ScoreRecord]
    weights: Mapping[str, float]

    @property
    def scores_G(self) -> list[float | None]:
        return [record.score for record in self.records_G]

    @property
    def is_dead(self) -> bool:
        return all(map(is_dead, components(self.records_G, weights=self.weights)))

    def advantages(self, *, scale: RewardScale) -> list[float]:
        if self.weights:
            return combined_advantages(self.records_G, weights=self.weights)
        return advantages(self.scores_G, scale=scale)


@dataclass(slots=True)
class _Row:
    """Counts and scores of the completions of one dataset row."""

    line: int
    completions: int = 0
    changed: int = 0
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    def to_json(self, row: int) -> Json:
        return {
            "row": row,
            "line": self.line,
            "completions": self.completions,
            "changed": self.changed,
            "mean_before": _mean(self.before),
            "mean_after": _mean(self.after),
        }

    @property
    def shift(self) -> float:
        """Absolute change of the mean; a missing mean counts as 0."""
        return abs((_mean(self.after) or 0.0) - (_mean(self.before) or 0.0))


class RescoreTally:
    """Accumulates regraded completions in any order; `result` returns the totals."""

    def __init__(self, rule: ScoringRule) -> None:
        self._rule = rule
        self._rows: dict[int, _Row] = {}
        self._transitions: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[Json]] = {}
        self._open: dict[tuple[int, int], dict[int, RescoredCompletion]] = {}
        self._training: Counter[str] = Counter()
        self.completions = 0
        self.changed = 0

    def add(self, regraded: RescoredCompletion) -> None:
        above = self._rule.success_above
        transition = (verdict(regraded.before, success_above=above), verdict(regraded.after, success_above=above))
        row = self._rows.setdefault(regraded.row, _Row(line=regraded.line))
        self.completions += 1
        row.completions += 1
        self._transitions[transition] += 1
        for scores, record in ((row.before, regraded.before), (row.after, regraded.after)):
            if record.score is not None:
                scores.append(record.score)
        if regraded.changed:
            self.changed += 1
            row.changed += 1
            examples = self._examples.setdefault(transition, [])
            if len(examples) < MAX_EXAMPLES:
                examples.append(_example(regraded))
        group_key = (regraded.step, regraded.number // self._rule.num_generations)
        group = self._open.setdefault(group_key, {})
        group[regraded.sample] = regraded
        if len(group) == self._rule.num_generations:
            self._count_group([group[sample] for sample in sorted(group)])
            del self._open[group_key]

    def _count_group(self, group: Sequence[RescoredCompletion]) -> None:
        """Count the training signal of a complete group, before and after."""
        counts, rule = self._training, self._rule
        before = _Group([each.before for each in group], rule.weights_before)
        after = _Group([each.after for each in group], rule.weights_after)
        dead = (before.is_dead, after.is_dead)
        counts["groups"] += 1
        counts["dead_before"] += dead[0]
        counts["dead_after"] += dead[1]
        counts["came_alive"] += dead == (True, False)
        counts["died"] += dead == (False, True)
        counts["mixed_before"] += _is_mixed(before.scores_G, above=rule.success_above)
        counts["mixed_after"] += _is_mixed(after.scores_G, above=rule.success_above)
        counts["advantages"] += len(group)
        then_G, now_G = (each.advantages(scale=rule.scale_rewards) for each in (before, after))
        for then, now in zip(then_G, now_G, strict=True):
            counts["advantages_changed"] += abs(then - now) > SAME
            counts["signs_changed"] += _sign(then) != _sign(now)
            counts["signs_reversed"] += _sign(then) * _sign(now) < 0

    def result(self) -> Json:
        """Return the figures as JSON: rows with the most changes first, examples of each kind of change."""
        worst = sorted(self._rows.items(), key=lambda pair: (-pair[1].changed, -pair[1].shift, pair[0]))
        faults = sum(count for (_, after), count in self._transitions.items() if after in _FAULTS)
        figures: Json = {
            "completions": self.completions,
            "changed": self.changed,
            "changed_share": self.changed / self.completions if self.completions else 0.0,
            "mean_before": _mean([score for row in self._rows.values() for score in row.before]),
            "mean_after": _mean([score for row in self._rows.values() for score in row.after]),
            "fault_share_after": faults / self.completions if self.completions else 0.0,
            "transitions": [
                {"before": before, "after": after, "count": count}
                for (before, after), count in sorted(self._transitions.items(), key=lambda pair: (-pair[1], pair[0]))
            ],
            "rows_total": len(self._rows),
            "rows_changed": sum(row.changed > 0 for row in self._rows.values()),
            "rows": [row.to_json(number) for number, row in worst[:MAX_ROWS]],
            "examples": _round_robin(self._examples),
            "training": {name: self._training[name] for name in TRAINING_FIGURES}
            | {"groups_incomplete": len(self._open), "learns_from_scores": self._rule.learns},
        }
        return {"summary": summary(figures)} | figures


_FAULTS = (ScoreStatus.ERROR.value, ScoreStatus.TIMEOUT.value)
TRAINING_FIGURES = (
    *("groups", "dead_before", "dead_after", "came_alive", "died", "mixed_before", "mixed_after"),
    *("advantages", "advantages_changed", "signs_changed", "signs_reversed"),
)


def summary(figures: Json) -> str:
    """Summarise the figures in one or two sentences."""
    completions, changed, share = figures["completions"], figures["changed"], figures["changed_share"]
    if not changed:
        return f"All {completions:,} completions keep their score."
    verb = "changes" if changed == 1 else "change"
    text = f"{changed:,} of {completions:,} completions ({share:.1%}) {verb} score"
    before, after = figures["mean_before"], figures["mean_after"]
    if before is not None and after is not None:
        text += f"; the mean reward changes from {before:.3f} to {after:.3f}"
    training = figures["training"]
    if training["groups"] and training["learns_from_scores"]:
        alive = training["groups"] - training["dead_before"], training["groups"] - training["dead_after"]
        text += (
            f". Of {training['groups']:,} groups, {alive[1]:,} have a training signal instead of {alive[0]:,}, and "
            f"{training['signs_changed']:,} of {training['advantages']:,} advantages change sign"
        )
    return text + "."


def _example(regraded: RescoredCompletion) -> Json:
    return {
        "id": f"rollout-{regraded.step}-{regraded.number}",
        "step": regraded.step,
        "row": regraded.row,
        "sample": regraded.sample,
        "answer": None if regraded.answer is None else regraded.answer[:COMPLETION_CHARS],
        "completion": regraded.completion[:COMPLETION_CHARS],
        "cut": len(regraded.completion) > COMPLETION_CHARS,
        "before": regraded.before.to_json(),
        "after": regraded.after.to_json(),
    }


def _round_robin(examples: Mapping[tuple[str, str], Sequence[Json]]) -> list[Json]:
    """Alternate between the kinds of change."""
    rounds = zip_longest(*(examples[kind] for kind in sorted(examples)))
    return [example for examples_round in rounds for example in examples_round if example is not None][:MAX_EXAMPLES]


def _is_mixed(scores_G: Sequence[float | None], *, above: float) -> bool:
    return len({score > above for score in scores_G if score is not None}) == 2


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _sign(value: float) -> int:
    return (value > SAME) - (value < -SAME)
