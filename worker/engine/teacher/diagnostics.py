"""Owns the passes that only diagnostics need, every `diagnostic_interval` steps.

They look at a few of the step's rollouts; which ones does not depend on whose tokens are kept. A group stands together,
because its completions share what is read before them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.model.policy import Policy
from worker.engine.rollouts.logprobs import plan_for, shares_contexts
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import ControlContexts, Reading
from worker.engine.teacher.signals import Scorer, teacher_logps
from worker.engine.types import TeacherWeights

SEQUENCES = 8
"""Looked at in a step, where it has as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """log-probabilities of the sampled tokens, `[B, T]`; NaN for sequences that were not looked at."""

    base_logps_BT: Tensor
    """Under the base model: how far the student has moved."""
    hinted_logps_BT: Tensor | None
    """Under the teacher's weights with the hint meant for it; None where no control can be given."""
    placebo_logps_BT: Tensor | None
    """Under the same weights with another row's hint: what a hint does by merely being there."""


def looked_at(rollouts: Rollouts, *, generator: torch.Generator) -> list[int]:
    """`SEQUENCES` of the step: whole groups, and of the last one as many as are needed."""
    count = rollouts.num_generations
    groups = torch.randperm(len(rollouts.prompts), generator=generator).tolist()
    return sorted([group * count + sample for group in groups for sample in range(count)][:SEQUENCES])


def diagnose(
    policy: Policy, rollouts: Rollouts, *, control: ControlContexts | None, sequences: Sequence[int], settings: Settings
) -> Diagnosis:
    """Look at these sequences, with the weights as they are after the update."""
    student = tuple(rollouts.prompt_of(b).student for b in range(rollouts.num_sequences))
    plan = plan_for(
        rollouts,
        sequences=sequences,
        readings=[control.own_B, control.placebo_B] if control else [],
        micro_batch_tokens=settings.micro_batch_tokens,
        shared=shares_contexts(policy),
    )

    def score(reading: Reading, weights: TeacherWeights) -> Tensor:
        return teacher_logps(Scorer(policy, plan, weights, settings.temperature), rollouts, reading)

    weights = TeacherWeights(settings.teacher)
    return Diagnosis(
        base_logps_BT=score(student, TeacherWeights.BASE),
        hinted_logps_BT=score(control.own_B, weights) if control else None,
        placebo_logps_BT=score(control.placebo_B, weights) if control else None,
    )
