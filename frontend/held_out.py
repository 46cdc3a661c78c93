"""What the held-out questions say of a job: did it get better? Pure."""

from collections.abc import Sequence
from typing import Literal

from frontend.shapes import Evaluation

Judgement = Literal["better", "worse", "undecided"]


def measured(evaluations: Sequence[Evaluation], phase: Literal["baseline", "trained"]) -> Evaluation | None:
    """Before or after training; None where it was not measured, or not yet."""
    return next((found for found in evaluations if found["phase"] == phase), None)


def judged(evaluations: Sequence[Evaluation]) -> Judgement | None:
    """By the interval of the difference: on which side of zero it lies, if on one; None where there is none."""
    after = measured(evaluations, "trained")
    difference = None if after is None else after["difference"]
    if difference is None:
        return None
    return "better" if difference["low"] > 0 else "worse" if difference["high"] < 0 else "undecided"
