"""The rule for learning rates: GRPO tries four, and its best one is everyone's."""

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.learning.configurations import BASELINE
from benchmarks.learning.runs import Run


def best_learning_rate(runs: Iterable[Run], *, task: str, rates: Sequence[float]) -> float | None:
    """GRPO's rate with the highest mean final accuracy over the seeds that all rates have; the smaller one on a tie.

    None while a rate has no seed in common with the others.
    """
    finals: dict[float, dict[int, float]] = {rate: {} for rate in rates}
    for run in runs:
        if run.key.task == task and run.key.method == BASELINE.name and run.key.learning_rate in finals:
            finals[run.key.learning_rate][run.key.seed] = run.final
    seeds = set.intersection(*(set(by_seed) for by_seed in finals.values()))
    if not seeds:
        return None
    return max(sorted(rates), key=lambda rate: statistics.mean(finals[rate][seed] for seed in sorted(seeds)))
