"""The verdict of the held-out questions on a job: better, worse, undecided, or nothing learned. Pure."""

from collections.abc import Sequence
from typing import Literal

from frontend.api.types import EvaluationObject, JobObject

Judgement = Literal["better", "worse", "undecided", "nothing_learned"]
Phase = Literal["baseline", "warm", "trained"]


def measured(evaluations: Sequence[EvaluationObject], phase: Phase) -> EvaluationObject | None:
    """Return the evaluation before training, after the warm start or after training; None if there is none (yet)."""
    return next((found for found in evaluations if found["phase"] == phase), None)


def kept_sentence(after: EvaluationObject) -> str | None:
    """Say which step was kept, chosen and measured on which questions; None if it is just the last one."""
    selection = after.get("selection")
    if selection is None:
        return None
    which = f"step {after['step']:,}" if after["step"] else "the model before training, since no later one was better"
    return (
        f"Kept: {which}, chosen on {selection['n']:,} of the questions; the result is measured on the other "
        f"{after['n']:,}."
    )


def learned_nothing(job: JobObject) -> bool:
    """Report whether no completion of any step had a signal: no token was trained on, the adapter does nothing."""
    return job["status"] == "succeeded" and job["trained_tokens"] == 0


def beyond_imitation(evaluations: Sequence[EvaluationObject]) -> str | None:
    """Return the API's sentence on what training added to a warm start; None without one, or before its end."""
    after = measured(evaluations, "trained")
    since = None if after is None else after.get("since_warm_start")
    return None if since is None else since.get("sentence")


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
