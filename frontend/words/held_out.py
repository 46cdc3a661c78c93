"""What the held-out questions say of a job: did it get better, if it learned anything at all? Pure."""

from collections.abc import Sequence
from typing import Literal

from frontend.api.types import Evaluation, Job

Judgement = Literal["better", "worse", "undecided", "nothing_learned"]


def measured(evaluations: Sequence[Evaluation], phase: Literal["baseline", "trained"]) -> Evaluation | None:
    """Before or after training; None where it was not measured, or not yet."""
    return next((found for found in evaluations if found["phase"] == phase), None)


def learned_nothing(job: Job) -> bool:
    """No completion of any step had a signal, so no token was trained on: the adapter does nothing."""
    return job["status"] == "succeeded" and job["trained_tokens"] == 0


def judged(evaluations: Sequence[Evaluation], *, job: Job) -> Judgement | None:
    """By the interval of the difference: on which side of zero it lies, if on one; None where there is none.

    Where nothing was learned the questions have nothing to judge.
    """
    if learned_nothing(job):
        return "nothing_learned"
    after = measured(evaluations, "trained")
    difference = None if after is None else after["difference"]
    if difference is None:
        return None
    return "better" if difference["low"] > 0 else "worse" if difference["high"] < 0 else "undecided"
