"""What everything is compared with: GRPO at the best of its four learning rates, which is everyone's."""

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.learning.configurations import BASELINE, CONFIGURATIONS
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


def by_way(runs: Iterable[Run], *, rate: float) -> dict[tuple[str, str], list[Run]]:
    """The runs at a learning rate by method and hint, in the order of `CONFIGURATIONS`."""
    groups: dict[tuple[str, str], list[Run]] = {(c.name, c.hint): [] for c in CONFIGURATIONS}
    for run in runs:
        if run.key.learning_rate == rate:
            groups[run.key.method, run.key.hint].append(run)
    return {way: chosen for way, chosen in groups.items() if chosen}


def differences(runs: Iterable[Run], *, baseline: Iterable[Run]) -> list[float]:
    """Final accuracies less the baseline's, over the seeds that both have."""
    finals = {run.key.seed: run.final for run in baseline}
    return [run.final - finals[run.key.seed] for run in runs if run.key.seed in finals]
