"""The learning runs that were kept, as figures of `make bench`. Making them takes hours: `make bench-learning`."""

from collections.abc import Sequence

from benchmarks.figures import Figure
from benchmarks.learning.baseline import best_learning_rate, by_way, differences
from benchmarks.learning.configurations import BASELINE
from benchmarks.learning.runs import RUNS, Run, read_runs, valid_runs
from benchmarks.learning.statistics import mean_interval
from benchmarks.learning.task import LearningTask
from benchmarks.learning.tasks import TASKS, task_named


def run() -> list[Figure]:
    """Of each task GRPO's final held-out accuracy, and how far every other way ends from it, paired by seed."""
    runs = read_runs(RUNS)
    return [figure for name in TASKS for figure in of_task(task_named(name), runs)]


def of_task(task: LearningTask, runs: Sequence[Run]) -> list[Figure]:
    """Means over seeds with Student's 95 % interval; nothing while GRPO's best learning rate is not known."""
    valid = valid_runs(runs, task=task)
    best = best_learning_rate(valid, task=task.name, rates=task.learning_rates)
    if best is None:
        return []
    ways = by_way(valid, rate=best)
    baseline = ways.pop((BASELINE.name, BASELINE.hint))
    finals = [run.final for run in baseline]
    return [
        _figure(f"learning_{task.name}_{BASELINE.name}", finals, unit="accuracy, 95 %"),
        *(
            _figure(
                f"learning_{task.name}_{'_'.join(f'{method} {hint}'.split())}_minus_{BASELINE.name}",
                differences(chosen, baseline=baseline),
                unit="accuracy, 95 %",
            )
            for (method, hint), chosen in ways.items()
        ),
    ]


def _figure(name: str, values: Sequence[float], *, unit: str) -> Figure:
    estimate = mean_interval(values)
    return Figure(name, round(estimate.mean, 6), unit, len(values), estimate.low, estimate.high)
