"""Comparison of two instructions before training: the base model answers the same rows under each."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from backend.core.methods import MethodName
from backend.core.verdict import Finding, Level
from worker.engine.experiment import Experiment
from worker.engine.preflight.forecast import hint_effect
from worker.engine.preflight.probe import Probe, Progress, probe
from worker.engine.types import Task

Json = dict[str, Any]


def compare_instructions(
    experiment: Experiment, found: Probe, *, others: Sequence[Task], rows: int, samples: int, progress: Progress
) -> tuple[Finding, Json] | None:
    """Compare the solve rates under the instruction of `found` and that of `others`, the same tasks under the second.

    Paired by row, with the same random numbers, as a hint's effect is. None if no row fits and is scored under both.
    """
    unhinted = experiment.settings.model_copy(update={"method": MethodName.GRPO})
    second = probe(replace(experiment, tasks=others, settings=unhinted), rows=rows, samples=samples, progress=progress)
    if found.plain is None or second.plain is None:
        return None
    first_scores, second_scores = (
        {prompt.task.row: completions.scores_of(index) for index, prompt in enumerate(each.prompts)}
        for each, completions in ((found, found.plain), (second, second.plain))
    )
    both = [row for row in first_scores if row in second_scores]
    effect = hint_effect(
        both,
        [first_scores[row] for row in both],
        [second_scores[row] for row in both],
        success_above=experiment.settings.success_above,
        seed=experiment.settings.seed,
    )
    if effect is None:
        return None
    difference = effect.difference
    message = (
        f"Solve rate {effect.without:.0%} with the first instruction, {effect.shown:.0%} with the second (difference "
        f"{100 * difference['low']:+.0f} to {100 * difference['high']:+.0f} points, p = {effect.p_value:.2g}, "
        f"{effect.rows:,} rows)."
    )
    figures = {
        "solve_rates": [effect.without, effect.shown],
        "difference": dict(difference),
        "p_value": effect.p_value,
        "rows": effect.rows,
    }
    return Finding("instructions_compared", Level.PASS, message), figures
