"""Words for the result of training on held-out questions. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from frontend.api.types import EvaluationObject, JobObject, ResultObject, Verdict

Phase = Literal["baseline", "warm", "trained"]
Color = Literal["green", "gray", "red", "orange", "blue"]


@dataclass(frozen=True, slots=True)
class VerdictLook:
    label: str
    color: Color
    icon: str


VERDICTS: dict[Verdict, VerdictLook] = {
    "better": VerdictLook("Better", "green", ":material/trending_up:"),
    "undecided": VerdictLook("Undecided", "gray", ":material/help:"),
    "worse": VerdictLook("Worse", "red", ":material/trending_down:"),
    "nothing_learned": VerdictLook("Nothing learned", "orange", ":material/block:"),
    "imitation_enough": VerdictLook("Imitation was enough", "blue", ":material/stairs:"),
}


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


def verdict_of(job: JobObject) -> Verdict | None:
    """Return the API's verdict; None before there is one."""
    result = job.get("x_result")
    return None if result is None else result["verdict"]


def beyond_imitation(evaluations: Sequence[EvaluationObject]) -> str | None:
    """Return the API's sentence on what training added to a warm start; None without one, or before its end."""
    after = measured(evaluations, "trained")
    since = None if after is None else after.get("since_warm_start")
    return None if since is None else since.get("sentence")


def scores(result: ResultObject) -> str | None:
    """Return `held-out score 0.18 → 0.74`; None unless it was measured both before and after training."""
    base, warm, trained = result["base"], result["warm"], result["trained"]
    if base is None or trained is None:
        return None
    return "held-out score " + " → ".join(f"{score['mean']:.2f}" for score in (base, warm, trained) if score)
