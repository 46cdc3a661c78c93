"""Owns what can be expected of training from a few completions a row: solve rates, mixed groups, what a hint does.

Pure arithmetic on scores. A score of None (abstain, error, timeout) leaves every figure it would have entered.
Intervals are over rows: completions of one row are no independent witnesses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Literal, TypedDict

import numpy as np

from worker.engine.evaluation.evaluate import compare
from worker.engine.evaluation.statistics import Bounds, Interval, interval
from worker.engine.preflight.probe import ProbeCompletions
from worker.engine.preflight.trial_steps import TrialSteps
from worker.engine.settings import Settings
from worker.engine.types import QuestionScores

BIN_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Solve rates strictly between never and always are counted between these; a bin holds its lower edge."""

Scores = Sequence[float | None]


class Bin(TypedDict):
    """Rows whose solve rate lies in `[low, high)`; the first and the last bin are exactly 0 and 1."""

    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HintEffect:
    """Solve rates with the hint shown to the model and without, over the rows that have both."""

    without: float
    shown: float
    difference: Interval
    p_value: float
    helps: Literal["yes", "no", "unclear", "not_needed"]
    rows: int
    not_helped: tuple[int, ...]
    """Rows solved no more often with it, those left out that are always solved anyway."""


def solve_rate(scores: Scores, *, success_above: float) -> float | None:
    """Share of the scored completions that are right; None where none was scored."""
    known = [score for score in scores if score is not None]
    return sum(score > success_above for score in known) / len(known) if known else None


def histogram(rates: Sequence[float | None]) -> list[Bin]:
    """How many rows have which solve rate, those without one left out: never, five bins between, always."""
    known = [rate for rate in rates if rate is not None]
    inner = [rate for rate in known if 0 < rate < 1]
    counts = np.histogram(inner, bins=BIN_EDGES)[0].tolist()
    between = zip(BIN_EDGES, BIN_EDGES[1:], counts, strict=False)
    return [
        Bin(low=0.0, high=0.0, rows=known.count(0)),
        *(Bin(low=low, high=high, rows=count) for low, high, count in between),
        Bin(low=1.0, high=1.0, rows=known.count(1)),
    ]


def mixed_probability(scores: Scores, *, group: int) -> float:
    """The probability that a group of `group` completions of this row has two different scores, so that it teaches.

    With as many samples as a group or more it is the share of mixed groups among all that can be drawn from them
    without replacement, which is unbiased. With fewer no unbiased estimate exists; then groups are drawn with
    replacement, which on average says too little.
    """
    missing = sum(score is None for score in scores)
    known = [score for score in scores if score is not None]
    alike = [known.count(value) + missing for value in set(known)]
    if not alike:
        return 0.0
    drawn = len(scores)

    def all_among(count: int) -> float:
        """The probability that a whole group comes from `count` of the samples."""
        return comb(count, group) / comb(drawn, group) if drawn >= group else (count / drawn) ** group

    # Groups without any score are alike in every value, and are counted once.
    return 1.0 - (sum(map(all_among, alike)) - (len(alike) - 1) * all_among(missing))


def is_unbiased(*, samples: int, group: int) -> bool:
    """Whether `mixed_probability` is, from so many samples a row."""
    return samples >= group


def over_rows(values: Sequence[float | None], *, within: Bounds | None) -> Interval | None:
    """Mean over the rows that have a value, with its interval; None where none has. `within`: where values can lie."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    return interval(known, within=within) if len(known) else None


def hint_effect(
    rows: Sequence[int],
    without: Sequence[Scores],
    shown: Sequence[Scores],
    *,
    success_above: float,
    seed: int,
) -> HintEffect | None:
    """Does the hint help? Paired by row. None where no row has a score on both sides."""

    def solved(samples: Sequence[Scores]) -> list[QuestionScores]:
        return [
            QuestionScores(row=row, scores=[None if s is None else float(s > success_above) for s in scores])
            for row, scores in zip(rows, samples, strict=True)
        ]

    comparison = compare(solved(without), solved(shown), seed=seed)
    if comparison is None:
        return None
    pairs = [
        (row, before, after)
        for row, scores, hinted in zip(rows, without, shown, strict=True)
        if (before := solve_rate(scores, success_above=success_above)) is not None
        and (after := solve_rate(hinted, success_above=success_above)) is not None
    ]
    mean_without = sum(before for _, before, _ in pairs) / len(pairs)
    return HintEffect(
        without=mean_without,
        shown=sum(after for _, _, after in pairs) / len(pairs),
        difference=comparison.difference,
        p_value=comparison.p_value,
        helps=_helps(comparison.difference, without=mean_without, rows=len(pairs)),
        rows=len(pairs),
        not_helped=tuple(row for row, before, after in pairs if after <= before < 1),
    )


def _helps(difference: Interval, *, without: float, rows: int) -> Literal["yes", "no", "unclear", "not_needed"]:
    if without == 1:
        return "not_needed"
    if difference["mean"] <= 0:
        return "no"
    return "yes" if rows > 1 and difference["low"] > 0 else "unclear"


LEAVES_OUT = "loading the model, evaluations and checkpoints, and that completions change their length in training"


LEAVES_OUT_UPDATE = f"the verifier, the teacher and the update, {LEAVES_OUT}"


def expected_time(
    plain: ProbeCompletions, *, mixed: float, rehearsal: TrialSteps | None, settings: Settings
) -> dict[str, Any]:
    """Seconds of a step and of the run and tokens written in it, with the 95 % interval that comes from how long the
    rows' completions are; memory as the steps rehearsed took it, from the least to the most.

    The share of mixed groups matters where the others are replaced (`resample_rounds`).
    """
    lengths = np.array(plain.lengths, dtype=np.float64).reshape(-1, plain.samples).mean(1)
    tokens = over_rows(lengths.tolist(), within=None)
    assert tokens is not None
    per_token_s = plain.sampling_s / plain.timed_tokens
    measured = rehearsal is not None and rehearsal.fault is None
    if rehearsal is not None and measured:  # at the very shape of a step
        written = rehearsal.mean("rollout_tokens") / rehearsal.mean("completion_tokens_mean")
        rollout_s = _scaled(tokens, rehearsal.seconds["rollout"] / rehearsal.mean("completion_tokens_mean"))
        beside_s = sum(seconds for phase, seconds in rehearsal.seconds.items() if phase != "rollout")
        held = [step["peak_memory_bytes"] for step in rehearsal.steps]
        memory = Interval(mean=rehearsal.mean("peak_memory_bytes"), low=min(held), high=max(held))
    else:
        attempts = sum((1 - mixed) ** turn for turn in range(settings.resample_rounds + 1))
        written = settings.batch_size * settings.num_generations * attempts
        rollout_s, beside_s, memory = _scaled(tokens, per_token_s * written), 0.0, None
    step_s = Interval(
        mean=rollout_s["mean"] + beside_s, low=rollout_s["low"] + beside_s, high=rollout_s["high"] + beside_s
    )
    return {
        "seconds_per_token": per_token_s,
        "tokens_per_second": 1 / per_token_s,
        "rollout_s": rollout_s,
        "step_s": step_s,
        "total_s": _scaled(step_s, settings.max_steps),
        "total_tokens": _scaled(tokens, written * settings.max_steps),
        "steps": settings.max_steps,
        "step_measured": measured,
        "phases_s": rehearsal.seconds if rehearsal is not None and measured else {},
        "peak_memory_bytes": memory,
        "device_name": rehearsal.device_name if rehearsal is not None else None,
        "rehearsed": list(rehearsal.steps) if rehearsal is not None else [],
        "leaves_out": LEAVES_OUT if measured else LEAVES_OUT_UPDATE,
    }


def _scaled(interval: Interval, factor: float) -> Interval:
    return Interval(mean=interval["mean"] * factor, low=interval["low"] * factor, high=interval["high"] * factor)
