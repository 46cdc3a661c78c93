"""The learning rate as a function of the step, so that a resumed run needs no state of a scheduler."""

import math

from backend.core.settings.choices import Schedule
from worker.engine.settings import Settings


def learning_rate_at(step: int, *, settings: Settings) -> float:
    """Return the learning rate of step `step` (from 1), as the schedulers of transformers give it.

    With `k = step - 1` steps taken, `W` warm-up steps and `N = max_steps`: `k / W` of the full rate during the warm-up,
    then `1`, `1 - p` or `(1 + cos(pi p)) / 2` of it with `p = (k - W) / (N - W)`. A run that is extended goes on at the
    rate of the longer run.
    """
    taken, warmup = step - 1, settings.lr_warmup_steps
    if taken < warmup:
        return settings.learning_rate * (taken / warmup)
    if settings.lr_schedule is Schedule.CONSTANT:
        return settings.learning_rate
    progress = min(1.0, (taken - warmup) / max(1, settings.max_steps - warmup))
    linear = settings.lr_schedule is Schedule.LINEAR
    return settings.learning_rate * (1 - progress if linear else (1 + math.cos(math.pi * progress)) / 2)
