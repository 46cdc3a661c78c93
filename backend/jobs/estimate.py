"""How long a job will take and what it will cost, from what steps of the same model have taken. Pure.

A step's time is taken apart into what grows with sampled, taught and updated tokens and what does not. Each known step
gives one prediction for the new job; their spread is the uncertainty.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.jobs.methods import METHODS
from backend.jobs.spec import RlsdSettings

HOUR_S = 3600.0
LOW, HIGH = 0.1, 0.9
TOKENS = ("rollout_tokens", "teacher_tokens", "update_tokens")
"""Metrics by which a step counts in a budget of tokens."""
PACE = ("devices", "sharding", "dtype", "gradient_checkpointing", "generator")
"""Settings without which one job's pace and memory say nothing of another's."""
FORWARD_SHARE = 1 / 3
"""Of an update, which goes forward once and back at twice the cost: what a teacher takes that was never measured."""


@dataclass(frozen=True, slots=True)
class KnownStep:
    """One step of an earlier job, or of a pre-flight: its settings and the metrics it left (RLSD section 4, cost)."""

    job_id: str
    settings: RlsdSettings
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Range:
    """The middle of what is expected, and where eight in ten of the known steps lie."""

    low: float
    median: float
    high: float

    def times(self, factor: float) -> "Range":
        return Range(self.low * factor, self.median * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds a step and in all, evaluations included; sampled tokens in all; bytes of the known steps as large."""

    step_s: Range
    total_s: Range
    total_tokens: Range
    peak_memory_bytes: Range | None
    jobs: int
    steps: int


def estimate(settings: RlsdSettings, *, known: Sequence[KnownStep], held_out_rows: int) -> Estimate | None:
    """None where nothing is known that could say it."""
    usable = [step for step in known if _usable(step)]
    if not usable:
        return None
    foreseen = [_foreseen(step, settings, held_out_rows=held_out_rows) for step in usable]
    memory = [step.metrics["peak_memory_bytes"] for step in usable if _as_large(step.settings, settings)]
    return Estimate(
        step_s=_range([each.step_s for each in foreseen]),
        total_s=_range([each.total_s for each in foreseen]),
        total_tokens=_range([each.total_tokens for each in foreseen]),
        peak_memory_bytes=_range(memory) if memory else None,
        jobs=len({step.job_id for step in usable}),
        steps=len(usable),
    )


def cost_of(total_s: Range, *, devices: int, price_an_hour: float) -> Range:
    """In the currency of the price."""
    return total_s.times(devices * price_an_hour / HOUR_S)


def last_step(settings: RlsdSettings, *, used_a_step: float) -> int:
    """The step at which the job ends: its budget, of which each step uses so much, may be used up before the others."""
    if settings.budget == 0 or used_a_step <= 0:
        return settings.max_steps
    return max(1, min(settings.max_steps, math.ceil(settings.budget / used_a_step)))


def evaluations_to_come(settings: RlsdSettings, *, measured: int, last: int) -> int:
    """Until the last step, that after it included, where the newest one was after the step `measured`."""
    interval = settings.eval_interval
    return 1 + (max(0, (last - 1) // interval - measured // interval) if interval else 0)


@dataclass(frozen=True, slots=True)
class _Foreseen:
    """The new job, at the pace of one known step."""

    step_s: float
    total_s: float
    total_tokens: float


def _foreseen(step: KnownStep, settings: RlsdSettings, *, held_out_rows: int) -> _Foreseen:
    each = _tokens_each(step, settings)
    step_s = _step_s(step, settings, tokens_each=each)
    steps = last_step(settings, used_a_step=_used_a_step(step, settings, step_s=step_s, tokens_each=each))
    evaluations = 1 + evaluations_to_come(settings, measured=0, last=steps)
    evaluation_s = held_out_rows * settings.eval_samples * each * _sampled_token_s(step)
    return _Foreseen(step_s, step_s * steps + evaluation_s * evaluations, each * _sequences(settings) * steps)


def _used_a_step(step: KnownStep, settings: RlsdSettings, *, step_s: float, tokens_each: float) -> float:
    """Of a budget."""
    if settings.budget_unit == "steps":
        return 1.0
    if settings.budget_unit == "seconds":
        return step_s * settings.devices
    known = sum(step.metrics.get(name) or 0.0 for name in TOKENS)
    return known * tokens_each * _sequences(settings) / step.metrics["rollout_tokens"]


def _usable(step: KnownStep) -> bool:
    wanted = ("step_s", "rollout_s", "rollout_tokens", "peak_memory_bytes")
    return all((step.metrics.get(name) or 0.0) > 0 for name in wanted)


def _sequences(settings: RlsdSettings) -> int:
    return settings.batch_size * settings.num_generations


def _tokens_each(step: KnownStep, settings: RlsdSettings) -> float:
    """Tokens a completion, with its share of the question's; what was cut at a lower limit grows no further."""
    each = step.metrics["rollout_tokens"] / _sequences(step.settings)
    written = step.metrics.get("completion_tokens_mean") or each
    return each * min(1.0, settings.max_completion_tokens / written)


def _sampled_token_s(step: KnownStep) -> float:
    return step.metrics["rollout_s"] / step.metrics["rollout_tokens"]


def _step_s(step: KnownStep, settings: RlsdSettings, *, tokens_each: float) -> float:
    """Seconds of one step of the new job, at the pace of this known one."""
    phase_s = {phase: step.metrics.get(f"{phase}_s") or 0.0 for phase in ("rollout", "update", "teacher")}
    rest_s = max(0.0, step.metrics["step_s"] - sum(phase_s.values()))
    teaches = METHODS[settings.method].teacher != "none"
    if not teaches:
        phase_s["teacher"] = 0.0
    elif METHODS[step.settings.method].teacher == "none":
        phase_s["teacher"] = phase_s["update"] * FORWARD_SHARE
    more_tokens = tokens_each * _sequences(settings) / step.metrics["rollout_tokens"]
    more_sequences = _sequences(settings) / _sequences(step.settings)
    return sum(phase_s.values()) * more_tokens + rest_s * more_sequences


def _as_large(known: RlsdSettings, settings: RlsdSettings) -> bool:
    """Whether a step of `known` held at least as much at a time."""
    names = ("micro_batch_tokens", "rollout_sequences", "max_completion_tokens", "max_prompt_tokens")
    return all(getattr(known, name) >= getattr(settings, name) for name in names)


def _range(values: Sequence[float]) -> Range:
    ordered = sorted(values)
    last = len(ordered) - 1
    return Range(ordered[math.floor(LOW * last)], statistics.median(ordered), ordered[math.ceil(HIGH * last)])
