"""The verdict of the held-out questions on a job: better, worse, undecided, or nothing learned. Pure."""

from collections.abc import Sequence
from typing import Literal

from frontend.api.types import EvaluationObject, JobObject

Judgement = Literal["better", "worse", "undecided", "nothing_learned"]


def measured(evaluations: Sequence[EvaluationObject], phase: Literal["baseline", "trained"]) -> EvaluationObject | None:
    """Return the evaluation before or after training; None if there is none (yet)."""
    return next((found for found in evaluations if found["phase"] == phase), None)


def learned_nothing(job: JobObject) -> bool:
    """Report whether no completion of any step had a signal: no token was trained on, the adapter does nothing."""
    return job["status"] == "succeeded" and job["trained_tokens"] == 0


def judged(evaluations: Sequence[EvaluationObject], *, job: JobObject) -> Judgement | None:
    """Judge by whether the interval of the difference excludes zero; None if there is none.

    If nothing was learned, the evaluations are ignored.
    """
    if learned_nothing(job):
        return "nothing_learned"
    after = measured(evaluations, "trained")
    difference = None if after is None else after["difference"]
    if difference is None:
        return None
    return "better" if difference["low"] > 0 else "worse" if difference["high"] < 0 else "undecided"
