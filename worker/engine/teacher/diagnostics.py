"""Forward passes that only diagnostics need, every `diagnostic_interval` steps.

They cover a few of the step's rollouts, chosen independently of those whose tokens are stored. Whole groups are chosen,
because their completions share a context.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.core.settings.choices import TeacherWeights
from worker.engine.model.policy import Policy
from worker.engine.rollouts.logprobs import plan_rollout_batches, shares_contexts
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import ControlContexts, SequenceContexts
from worker.engine.teacher.signals import Scorer, teacher_logps

MAX_SEQUENCES = 8
"""Sequences diagnosed in a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """log-probabilities of the sampled tokens, `[B, T]`; NaN for sequences that were not diagnosed."""

    base_logps_BT: Tensor
    """Under the base model: measures how far the student has moved."""
    hinted_logps_BT: Tensor | None
    """Under the teacher's weights with the sequence's own hint; None without a placebo control."""
    placebo_logps_BT: Tensor | None
    """Under the same weights with another row's hint: the effect of a hint's mere presence."""


def diagnosed_sequences(rollouts: Rollouts, *, generator: torch.Generator) -> list[int]:
    """Choose `MAX_SEQUENCES` of the step: whole groups, and part of the last one if needed."""
    count = rollouts.num_generations
    groups = torch.randperm(len(rollouts.prompts), generator=generator).tolist()
    return sorted([group * count + sample for group in groups for sample in range(count)][:MAX_SEQUENCES])


def diagnose(
    policy: Policy, rollouts: Rollouts, *, control: ControlContexts | None, sequences: Sequence[int], settings: Settings
) -> Diagnosis:
    """Score these sequences with the weights after the update."""
    student = tuple(rollouts.prompt_of(b).student for b in range(rollouts.num_sequences))
    plan = plan_rollout_batches(
        rollouts,
        sequences=sequences,
        teacher_contexts=[control.hinted_B, control.placebo_B] if control else [],
        micro_batch_tokens=settings.micro_batch_tokens,
        shared=shares_contexts(policy),
    )

    def score(contexts_B: SequenceContexts, weights: TeacherWeights) -> Tensor:
        return teacher_logps(Scorer(policy, plan, weights, settings.temperature), rollouts, contexts_B)

    weights = settings.teacher
    return Diagnosis(
        base_logps_BT=score(student, TeacherWeights.BASE),
        hinted_logps_BT=score(control.hinted_B, weights) if control else None,
        placebo_logps_BT=score(control.placebo_B, weights) if control else None,
    )
