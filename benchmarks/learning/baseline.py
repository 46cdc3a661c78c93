"""The baseline: GRPO at the best of its four learning rates, which all other methods use too."""

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.learning.configurations import BASELINE, CONFIGURATIONS
from benchmarks.learning.runs import Run


def best_learning_rate(runs: Iterable[Run], *, task: str, rates: Sequence[float]) -> float | None:
    """Return GRPO's rate with the highest mean final accuracy over the seeds common to all rates; the smaller on a tie.

    None while the rates have no seed in common.
    """
    finals: dict[float, dict[int, float]] = {rate: {} for rate in rates}
    for run in runs:
        if run.key.task == task and run.key.method == BASELINE.name and run.key.learning_rate in finals:
            finals[run.key.learning_rate][run.key.seed] = run.final
    seeds = set.intersection(*(set(by_seed) for by_seed in finals.values()))
    if not seeds:
        return None
    return max(sorted(rates), key=lambda rate: statistics.mean(finals[rate][seed] for seed in sorted(seeds)))


def by_configuration(runs: Iterable[Run], *, rate: float) -> dict[tuple[str, str], list[Run]]:
    """Group the runs at a learning rate by method and hint, in the order of `CONFIGURATIONS`."""
    groups: dict[tuple[str, str], list[Run]] = {(c.name, c.hint): [] for c in CONFIGURATIONS}
    for run in runs:
        if run.key.learning_rate == rate:
            groups[run.key.method, run.key.hint].append(run)
    return {key: chosen for key, chosen in groups.items() if chosen}


def differences(runs: Iterable[Run], *, baseline: Iterable[Run]) -> list[float]:
    """Compute final accuracies minus the baseline's, over the seeds that both have."""
    finals = {run.key.seed: run.final for run in baseline}
    return [run.final - finals[run.key.seed] for run in runs if run.key.seed in finals]
