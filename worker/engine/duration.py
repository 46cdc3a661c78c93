"""Owns how long a run is expected to take, from what a pre-flight sampled and the steps that it rehearsed."""

from typing import Any

import numpy as np

from worker.engine.intervals import Interval
from worker.engine.preflight import Answers
from worker.engine.prospects import over_rows
from worker.engine.rehearsal import Rehearsal
from worker.engine.settings import Settings

LEAVES_OUT = "loading the model, evaluations and checkpoints, and that completions change their length in training"
LEAVES_OUT_UPDATE = f"the verifier, the teacher and the update, {LEAVES_OUT}"


def expected_time(plain: Answers, *, mixed: float, rehearsal: Rehearsal | None, settings: Settings) -> dict[str, Any]:
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
