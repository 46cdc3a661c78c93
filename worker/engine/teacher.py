"""Owns the teacher: the same network with more to read. It scores the student's tokens and never generates."""

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.engine.policy import Policy
from worker.engine.rollout import Rollouts
from worker.engine.scoring import MicroBatch, completion_logps, micro_batch_inputs, student_prompts, teacher_prompts
from worker.engine.types import TeacherWeights


def teacher_logps(
    policy: Policy, rollouts: Rollouts, *, plan: Sequence[MicroBatch], weights: TeacherWeights, temperature: float
) -> Tensor:
    """log-probabilities of the sampled tokens after the hinted prompts, `[B, T]`.

    0 outside the mask; NaN for whole sequences that are not in the plan.
    """
    return _score(policy, rollouts, plan=plan, weights=weights, temperature=temperature, hinted=True)


def unhinted_logps(
    policy: Policy, rollouts: Rollouts, *, plan: Sequence[MicroBatch], weights: TeacherWeights, temperature: float
) -> Tensor:
    """The same after the student's own prompts; with the base's weights this tells how far the student has moved."""
    return _score(policy, rollouts, plan=plan, weights=weights, temperature=temperature, hinted=False)


def _score(
    policy: Policy,
    rollouts: Rollouts,
    *,
    plan: Sequence[MicroBatch],
    weights: TeacherWeights,
    temperature: float,
    hinted: bool,
) -> Tensor:
    logps_BT = torch.full(rollouts.mask_BT.shape, torch.nan, device=policy.device)
    policy.model.eval()
    with torch.no_grad(), policy.weights(weights):
        for batch in plan:
            prompts = teacher_prompts(rollouts, batch) if hinted else student_prompts(rollouts, batch)
            ids_BT, mask_BT = micro_batch_inputs(rollouts, batch)
            scored_BT = completion_logps(policy, prompts, ids_BT, mask_BT, temperature=temperature)
            # The model's own precision is kept: a float64 model is scored in float64.
            logps_BT = logps_BT.to(scored_BT.dtype)
            rows = batch.sequences.to(policy.device)
            logps_BT[rows] = 0.0  # also behind the longest completion of the micro-batch
            logps_BT[rows, : batch.num_completion_tokens] = scored_BT
    return logps_BT
