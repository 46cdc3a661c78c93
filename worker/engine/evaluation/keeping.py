"""The best checkpoint: chosen on one half of the held-out questions, so that the other half measures it honestly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from worker.engine.evaluation.evaluate import question_means
from worker.engine.model.policy import LIVE_ADAPTER, Policy
from worker.engine.seeds import derive
from worker.engine.types import QuestionScores, Selection


def halves(questions: Sequence[QuestionScores], *, seed: int) -> tuple[list[QuestionScores], list[QuestionScores]]:
    """Split into (the questions that choose, those that measure), each in order; of an odd number, one more measures.

    By the seed and the numbers of the rows alone, so all evaluations of a run split alike, and adding a row moves one
    other at most.
    """
    rows = sorted((question["row"] for question in questions), key=lambda row: derive(seed, step=row, purpose="halves"))
    choosing = set(rows[: len(rows) // 2])
    return (
        [question for question in questions if question["row"] in choosing],
        [question for question in questions if question["row"] not in choosing],
    )


def selection_of(choosing: Sequence[QuestionScores]) -> Selection | None:
    """Average the questions that choose; None if none of them has a score."""
    known = [mean for mean in question_means(choosing).tolist() if mean == mean]  # NaN has no score
    return Selection(mean=sum(known) / len(known), n=len(known)) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The best evaluated step so far, and its adapter."""

    step: int
    selection: Selection
    waited: int
    """Evaluations since then, none of them better."""
    questions: list[QuestionScores]
    """Its scores on the questions that measure."""
    adapter: Mapping[str, Tensor]
    """Copies on the CPU."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state to checkpoint, as plain JSON, without the adapter."""
        return {
            "step": self.step,
            "selection": self.selection,
            "waited": self.waited,
            "questions": self.questions,
        }

    def restore(self, policy: Policy) -> None:
        """Put the adapter into the policy."""
        with torch.no_grad():
            for name, parameter in policy.adapter(LIVE_ADAPTER).items():
                parameter.copy_(self.adapter[name])


def better(
    kept: Kept | None, *, step: int, selection: Selection, questions: list[QuestionScores], policy: Policy
) -> Kept:
    """Return what to keep after an evaluation at this step; of equally good steps, the earlier."""
    if kept is not None and selection["mean"] <= kept.selection["mean"]:
        return replace(kept, waited=kept.waited + 1)
    adapter = {name: parameter.detach().cpu().clone() for name, parameter in policy.adapter(LIVE_ADAPTER).items()}
    return Kept(step=step, selection=selection, waited=0, questions=questions, adapter=adapter)


def kept_sentence(kept: Kept, *, measured_on: int) -> str:
    """Say what is kept, and on how many questions with a score it was chosen and is measured."""
    which = f"step {kept.step}" if kept.step > 0 else "the model before training, since no later one was better"
    return (
        f"Kept: {which}, chosen on {kept.selection['n']} of the questions; the result is measured on the other "
        f"{measured_on}."
    )


def early_end(kept: Kept, *, step: int, last_step: int) -> str:
    """Say why the run ends before its last step."""
    evaluations = "The last evaluation was" if kept.waited == 1 else f"The last {kept.waited} evaluations were"
    return (
        f"{evaluations} no better than that of step {kept.step} on the questions that choose (patience): the run ended "
        f"after step {step} of {last_step}."
    )
