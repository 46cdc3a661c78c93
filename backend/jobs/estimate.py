"""Estimates of a job's duration and cost from measured steps of the same model. Pure.

A step's time is split into parts that grow with the tokens sampled, scored by the teacher and trained on, and a fixed
rest. Each known step gives one prediction for the new job; their spread is the uncertainty.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from backend.core.methods import METHODS
from backend.core.settings.spec import RlsdSettings

HOUR_S = 3600.0
LOW, HIGH = 0.1, 0.9
TOKEN_METRICS = ("rollout_tokens", "teacher_tokens", "update_tokens")
"""Metrics that count towards a budget in tokens."""
PACE_SETTINGS = ("devices", "sharding", "dtype", "gradient_checkpointing", "generator")
"""Settings that must be equal for the speed and memory of two jobs to be comparable."""
FORWARD_SHARE = 1 / 3
"""Share of an update's time assumed for an unmeasured teacher pass: a backward pass costs twice a forward pass."""


@dataclass(frozen=True, slots=True)
class KnownStep:
    """One step of an earlier job or of a pre-flight: its settings and cost metrics (docs/rlsd.md section 4)."""

    job_id: str
    settings: RlsdSettings
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Range:
    """The median of the predictions, and the interval that contains 80 % of them."""

    low: float
    median: float
    high: float

    def times(self, factor: float) -> "Range":
        return Range(self.low * factor, self.median * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds per step and in total, evaluations included; total sampled tokens; peak bytes of comparable steps."""

    step_s: Range
    total_s: Range
    total_tokens: Range
    peak_memory_bytes: Range | None
    jobs: int
    steps: int


def estimate(
    settings: RlsdSettings,
    *,
    known: Sequence[KnownStep],
    held_out_rows: int,
    warm_steps: int = 0,
    same_answers: bool = True,
) -> Estimate | None:
    """Predict the duration of a job with this many steps in its warm start; None without usable steps.

    Without the `same_answers` as the known steps, completions of any length are possible: the ranges then end where
    each is as long as the settings allow.
    """
    usable = [step for step in known if _usable(step)]
    if not usable:
        return None
    predict = partial(_predict, settings=settings, held_out_rows=held_out_rows, warm_steps=warm_steps)
    predictions = [predict(step, longest=False) for step in usable]
    longest = predictions if same_answers else [predict(step, longest=True) for step in usable]
    memory = [step.metrics["peak_memory_bytes"] for step in usable if _at_least_as_large(step.settings, settings)]
    return Estimate(
        step_s=_up_to([each.step_s for each in predictions], [each.step_s for each in longest]),
        total_s=_up_to([each.total_s for each in predictions], [each.total_s for each in longest]),
        total_tokens=_up_to([each.total_tokens for each in predictions], [each.total_tokens for each in longest]),
        peak_memory_bytes=_range(memory) if memory else None,
        jobs=len({step.job_id for step in usable}),
        steps=len(usable),
    )


def cost_of(total_s: Range, *, devices: int, price_per_hour: float) -> Range:
    """Return the cost in the currency of the price."""
    return total_s.times(devices * price_per_hour / HOUR_S)


def last_step(settings: RlsdSettings, *, warm_steps: int, used_per_step: float) -> int:
    """Return the last step of the job: the warm start's and `max_steps`, or earlier if the budget is used up first."""
    most = warm_steps + settings.max_steps
    if settings.budget == 0 or used_per_step <= 0:
        return most
    return max(1, min(most, math.ceil(settings.budget / used_per_step)))


def remaining_evaluations(settings: RlsdSettings, *, evaluated_at: int, last: int) -> int:
    """Count the evaluations up to and after the last step, given that the newest was after step `evaluated_at`."""
    interval = settings.eval_interval
    return 1 + (max(0, (last - 1) // interval - evaluated_at // interval) if interval else 0)


@dataclass(frozen=True, slots=True)
class _Prediction:
    """Totals of the new job at the speed of one known step."""

    step_s: float
    total_s: float
    total_tokens: float


def _predict(
    step: KnownStep, *, settings: RlsdSettings, held_out_rows: int, warm_steps: int, longest: bool
) -> _Prediction:
    tokens_each = _tokens_each(step, settings, longest=longest)
    imitation_s = _imitation_s(step, settings)
    imitates = METHODS[settings.method].imitates
    step_s = imitation_s if imitates else _step_s(step, settings, tokens_each=tokens_each)
    used = _used_per_step(step, settings, step_s=step_s, tokens_each=tokens_each)
    last = last_step(settings, warm_steps=warm_steps, used_per_step=used)
    warm, own = min(warm_steps, last), max(0, last - warm_steps)
    evaluations = 1 + (warm_steps > 0) + remaining_evaluations(settings, evaluated_at=0, last=last)
    evaluation_s = held_out_rows * settings.eval_samples * tokens_each * _sampled_token_s(step)
    return _Prediction(
        step_s=step_s,
        total_s=imitation_s * warm + step_s * own + evaluation_s * evaluations,
        total_tokens=0.0 if imitates else tokens_each * _sequences(settings) * own,
    )


def _imitation_s(step: KnownStep, settings: RlsdSettings) -> float:
    """Predict the seconds of a step of imitation: an update over one text per question, as long as a completion."""
    return (step.metrics.get("update_s") or 0.0) * settings.batch_size / _sequences(step.settings)


def _used_per_step(step: KnownStep, settings: RlsdSettings, *, step_s: float, tokens_each: float) -> float:
    """Return how much of the budget one step uses."""
    if settings.budget_unit == "steps":
        return 1.0
    if settings.budget_unit == "seconds":
        return step_s * settings.devices
    if METHODS[settings.method].imitates:
        return (step.metrics.get("update_tokens") or 0.0) * settings.batch_size / _sequences(step.settings)
    known = sum(step.metrics.get(name) or 0.0 for name in TOKEN_METRICS)
    return known * tokens_each * _sequences(settings) / step.metrics["rollout_tokens"]


def _usable(step: KnownStep) -> bool:
    required = ("step_s", "rollout_s", "rollout_tokens", "peak_memory_bytes")
    return all((step.metrics.get(name) or 0.0) > 0 for name in required)


def _sequences(settings: RlsdSettings) -> int:
    return settings.batch_size * settings.num_generations


def _tokens_each(step: KnownStep, settings: RlsdSettings, *, longest: bool) -> float:
    """Tokens per completion, including its share of the prompt, scaled down to a lower `max_completion_tokens`.

    `longest`: scaled to that limit, whether higher or lower.
    """
    tokens_each = step.metrics["rollout_tokens"] / _sequences(step.settings)
    mean_completion = step.metrics.get("completion_tokens_mean") or tokens_each
    factor = settings.max_completion_tokens / mean_completion
    return tokens_each * (factor if longest else min(1.0, factor))


def _sampled_token_s(step: KnownStep) -> float:
    return step.metrics["rollout_s"] / step.metrics["rollout_tokens"]


def _step_s(step: KnownStep, settings: RlsdSettings, *, tokens_each: float) -> float:
    """Predict the seconds per step of the new job from one known step."""
    phase_s = {phase: step.metrics.get(f"{phase}_s") or 0.0 for phase in ("rollout", "update", "teacher")}
    rest_s = max(0.0, step.metrics["step_s"] - sum(phase_s.values()))
    has_teacher = METHODS[settings.method].teacher != "none"
    if not has_teacher:
        phase_s["teacher"] = 0.0
    elif METHODS[step.settings.method].teacher == "none":
        phase_s["teacher"] = phase_s["update"] * FORWARD_SHARE
    more_tokens = tokens_each * _sequences(settings) / step.metrics["rollout_tokens"]
    more_sequences = _sequences(settings) / _sequences(step.settings)
    return sum(phase_s.values()) * more_tokens + rest_s * more_sequences


def _at_least_as_large(known: RlsdSettings, settings: RlsdSettings) -> bool:
    """Return whether the limits of `known` are at least as large, so that its peak memory is an upper bound."""
    names = ("micro_batch_tokens", "rollout_sequences", "max_completion_tokens", "max_prompt_tokens")
    return all(getattr(known, name) >= getattr(settings, name) for name in names)


def _up_to(values: Sequence[float], longest: Sequence[float]) -> Range:
    """Return the range of the values, which ends where that of the longest completions does."""
    usual = _range(values)
    return Range(usual.low, usual.median, max(usual.high, _range(longest).high))


def _range(values: Sequence[float]) -> Range:
    ordered = sorted(values)
    last = len(ordered) - 1
    return Range(ordered[math.floor(LOW * last)], statistics.median(ordered), ordered[math.ceil(HIGH * last)])
