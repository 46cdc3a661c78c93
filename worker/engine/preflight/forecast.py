"""What to expect of training, from a few completions per row: solve rates, mixed groups, the effect of a hint, time.

Pure arithmetic on scores. A score of None (abstain, error, timeout) is left out of every figure. Intervals are over
rows, because completions of one row are not independent.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Literal, TypedDict

import numpy as np

from backend.core.methods import method_named
from backend.core.statistics import Bounds, Interval, mean_interval
from worker.engine.evaluation.evaluate import compare
from worker.engine.preflight.probe import ProbeCompletions
from worker.engine.preflight.trial_steps import TrialSteps
from worker.engine.settings import Settings
from worker.engine.types import QuestionScores

BIN_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Bins of solve rates strictly between 0 and 1; each includes its lower edge."""

Scores = Sequence[float | None]


class Bin(TypedDict):
    """Rows whose solve rate lies in `[low, high)`; the first and the last bin are exactly 0 and 1."""

    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HintEffect:
    """Solve rates with the hint in the model's prompt and without, over the rows that have both."""

    without: float
    shown: float
    difference: Interval
    p_value: float
    helps: Literal["yes", "no", "unclear", "not_needed"]
    rows: int
    not_helped: tuple[int, ...]
    """Rows solved no more often with the hint, except those that are always solved without it."""


def solve_rate(scores: Scores, *, success_above: float) -> float | None:
    """Compute the share of the scored completions that are right; None if none was scored."""
    known = [score for score in scores if score is not None]
    return sum(score > success_above for score in known) / len(known) if known else None


def histogram(rates: Sequence[float | None]) -> list[Bin]:
    """Count rows by solve rate: never, five bins between, always. Rows without a rate are left out."""
    known = [rate for rate in rates if rate is not None]
    inner = [rate for rate in known if 0 < rate < 1]
    counts = np.histogram(inner, bins=BIN_EDGES)[0].tolist()
    between = zip(BIN_EDGES, BIN_EDGES[1:], counts, strict=False)
    return [
        Bin(low=0.0, high=0.0, rows=known.count(0)),
        *(Bin(low=low, high=high, rows=count) for low, high, count in between),
        Bin(low=1.0, high=1.0, rows=known.count(1)),
    ]


def mixed_probability(values: Sequence[Hashable | None], *, group: int) -> float:
    """Estimate the probability that a group of `group` completions of this row has two different values.

    With at least as many samples as a group has, it is the share of mixed groups among all that can be drawn from them
    without replacement, which is unbiased. With fewer, no unbiased estimate exists; groups are then drawn with
    replacement, which underestimates on average.
    """
    missing = sum(value is None for value in values)
    known = [value for value in values if value is not None]
    equal_counts = [known.count(value) + missing for value in set(known)]
    if not equal_counts:
        return 0.0
    samples = len(values)

    def all_among(count: int) -> float:
        """Compute the probability that a whole group comes from `count` of the samples."""
        return comb(count, group) / comb(samples, group) if samples >= group else (count / samples) ** group

    # Groups without any score are included for every value; count them once.
    return 1.0 - (sum(map(all_among, equal_counts)) - (len(equal_counts) - 1) * all_among(missing))


def is_unbiased(*, samples: int, group: int) -> bool:
    """Whether `mixed_probability` is unbiased with this many samples per row."""
    return samples >= group


def mean_over_rows(values: Sequence[float | None], *, within: Bounds | None) -> Interval | None:
    """Average the rows that have a value, with an interval; None if none has. `within`: the range of values."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    return mean_interval(known, within=within) if len(known) else None


def hint_effect(
    rows: Sequence[int],
    without: Sequence[Scores],
    shown: Sequence[Scores],
    *,
    success_above: float,
    seed: int,
) -> HintEffect | None:
    """Estimate the effect of the hint, paired by row. None if no row has scores with and without it."""

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


EXCLUDED = "loading the model, a warm start, evaluations and checkpoints, and changes of completion length in training"
EXCLUDED_WITHOUT_STEPS = f"the verifier, the teacher and the update, {EXCLUDED}"


def forecast_time(
    plain: ProbeCompletions, *, mixed: float, trial_steps: TrialSteps | None, settings: Settings
) -> dict[str, Any]:
    """Forecast seconds per step and per run, tokens sampled, and memory.

    Intervals are 95 %, over the lengths of the rows' completions; memory is mean, least and most of the trial steps.
    The share of mixed groups matters if the others are replaced (`resample_rounds`).
    """
    lengths = np.array(plain.lengths, dtype=np.float64).reshape(-1, plain.samples).mean(1)
    tokens = mean_over_rows(lengths.tolist(), within=None)
    assert tokens is not None
    per_token_s = plain.sampling_s / plain.timed_tokens
    taken = trial_steps if trial_steps is not None and trial_steps.fault is None else None
    other_s, memory = 0.0, None
    if taken is not None:  # measured at the exact shape of a step
        other_s = sum(seconds for phase, seconds in taken.seconds.items() if phase != "rollout")
        peaks = [step["peak_memory_bytes"] for step in taken.steps]
        memory = Interval(mean=taken.mean("peak_memory_bytes"), low=min(peaks), high=max(peaks))
    if method_named(settings.method).imitates:  # nothing is sampled
        sequences, rollout_s = 0.0, _scaled(tokens, 0.0)
    elif taken is not None:
        completion_tokens = taken.mean("completion_tokens_mean")
        sequences = taken.mean("rollout_tokens") / completion_tokens
        rollout_s = _scaled(tokens, taken.seconds["rollout"] / completion_tokens)
    else:
        attempts = sum((1 - mixed) ** turn for turn in range(settings.resample_rounds + 1))
        sequences = settings.batch_size * settings.num_generations * attempts
        rollout_s = _scaled(tokens, per_token_s * sequences)
    step_s = Interval(
        mean=rollout_s["mean"] + other_s, low=rollout_s["low"] + other_s, high=rollout_s["high"] + other_s
    )
    return {
        "seconds_per_token": per_token_s,
        "tokens_per_second": 1 / per_token_s,
        "rollout_s": rollout_s,
        "step_s": step_s,
        "total_s": _scaled(step_s, settings.max_steps),
        "total_tokens": _scaled(tokens, sequences * settings.max_steps),
        "steps": settings.max_steps,
        "step_measured": taken is not None,
        "phases_s": {} if taken is None else taken.seconds,
        "peak_memory_bytes": memory,
        "device_name": None if trial_steps is None else trial_steps.device_name,
        "rehearsed": [] if trial_steps is None or sequences == 0 else list(trial_steps.steps),
        "leaves_out": EXCLUDED if taken is not None else EXCLUDED_WITHOUT_STEPS,
    }


def _scaled(interval: Interval, factor: float) -> Interval:
    return Interval(mean=interval["mean"] * factor, low=interval["low"] * factor, high=interval["high"] * factor)
