"""The warm start of a run, taken for a pre-flight: what the method would begin with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from backend.core.methods import MethodName
from backend.core.settings.choices import Divergence
from worker.engine.experiment import Experiment, make_train_context
from worker.engine.model.policy import LIVE_ADAPTER, SNAPSHOT_ADAPTER
from worker.engine.observer import SilentObserver
from worker.engine.step import take_step

Progress = Callable[[int, int, str], None]
WITHOUT_A_METHOD = {
    "method": MethodName.GRPO,
    "teacher_model": None,
    "divergence": Divergence.SAMPLED,
    "practice": None,
}
"""Imitation is the same before every method; with these settings it needs neither a teacher nor hints."""


@contextmanager
def warmed_up(experiment: Experiment, *, progress: Progress) -> Iterator[int]:
    """Take the steps of the warm start for the block, to the bit as the run does. Yields their number, 0 without one.

    Afterwards the adapters are as they were. Fault if there is nothing to imitate.
    """
    policy = experiment.policy
    if experiment.settings.warm_start.rows == 0:
        yield 0
        return
    settings = experiment.settings.model_copy(update=WITHOUT_A_METHOD)
    context = make_train_context(replace(experiment, settings=settings), observer=SilentObserver())
    adapters = {name: policy.adapter(name) for name in (LIVE_ADAPTER, SNAPSHOT_ADAPTER)}
    before = {name: {key: value.detach().clone() for key, value in adapters[name].items()} for name in adapters}
    try:
        for step in range(1, context.warm_steps + 1):
            take_step(context, step)
            progress(step, context.warm_steps, "steps of the warm start")
        yield context.warm_steps
    finally:
        with torch.no_grad():
            for name, parameters in adapters.items():
                for key, parameter in parameters.items():
                    parameter.copy_(before[name][key])
