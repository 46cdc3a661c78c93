"""The stored learning runs, as figures of `make bench`. To run them again, which takes hours: `make bench-learning`."""

from collections.abc import Sequence

import numpy as np

from backend.core.statistics import t_interval
from benchmarks.figures import Figure
from benchmarks.learning.baseline import best_learning_rate, by_configuration, differences
from benchmarks.learning.configurations import BASELINE
from benchmarks.learning.runs import RUNS, Run, read_runs, valid_runs
from benchmarks.learning.task import LearningTask
from benchmarks.learning.tasks import TASKS, task_named


def run() -> list[Figure]:
    """Return GRPO's final held-out accuracy per task, and the paired differences of all other configurations."""
    runs = read_runs(RUNS)
    return [figure for name in TASKS for figure in task_figures(task_named(name), runs)]


def task_figures(task: LearningTask, runs: Sequence[Run]) -> list[Figure]:
    """Compute means over seeds with Student's 95 % interval; empty while GRPO's best learning rate is unknown."""
    valid = valid_runs(runs, task=task)
    best = best_learning_rate(valid, task=task.name, rates=task.learning_rates)
    if best is None:
        return []
    groups = by_configuration(valid, rate=best)
    baseline = groups.pop((BASELINE.name, BASELINE.hint))
    finals = [run.final for run in baseline]
    return [
        _figure(f"learning_{task.name}_{BASELINE.name}", finals, unit="accuracy, 95 %"),
        *(
            _figure(
                f"learning_{task.name}_{'_'.join(f'{method} {hint}'.split())}_minus_{BASELINE.name}",
                differences(chosen, baseline=baseline),
                unit="accuracy, 95 %",
            )
            for (method, hint), chosen in groups.items()
        ),
    ]


def _figure(name: str, values: Sequence[float], *, unit: str) -> Figure:
    found = t_interval(np.array(values), within=None)
    return Figure(name, round(found["mean"], 6), unit, len(values), found["low"], found["high"])
