"""Teacher log-probabilities: a model with a hint, or a larger one, scores the student's tokens. None generates."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.core.settings.choices import TeacherWeights
from worker.engine.model.policy import Policy
from worker.engine.rollouts.logprobs import MicroBatch, completion_logps, micro_batch_inputs
from worker.engine.rollouts.prompts import Context
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.teacher.contexts import SequenceContexts, TeacherContexts


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model with the weights, micro-batches and temperature to score with."""

    policy: Policy
    plan: Sequence[MicroBatch]
    weights: TeacherWeights
    temperature: float


def teacher_logps(scorer: Scorer, rollouts: Rollouts, contexts_B: SequenceContexts) -> Tensor:
    """Compute log-probabilities of the sampled tokens after a teacher's contexts, `[B, T]`.

    0 outside the mask; NaN for whole sequences that are not in the plan or have no context.
    """
    policy = scorer.policy
    # A float64 model is scored in float64.
    dtype = torch.promote_types(policy.model.dtype, torch.float32)
    logps_BT = torch.full(rollouts.mask_BT.shape, torch.nan, dtype=dtype, device=rollouts.mask_BT.device)
    policy.model.eval()
    with torch.no_grad(), policy.weights(scorer.weights):
        for batch in (keep_with_context(batch, contexts_B) for batch in scorer.plan):
            if len(batch.sequences) == 0:
                continue
            ids_bT, mask_bT = micro_batch_inputs(rollouts, batch)
            contexts = batch_contexts(contexts_B, batch)
            scored_bT = completion_logps(policy, contexts, ids_bT, mask_bT, temperature=scorer.temperature)
            rows = batch.sequences.to(logps_BT.device)
            logps_BT[rows] = 0.0  # also beyond the longest completion of the micro-batch
            logps_BT[rows, : batch.num_completion_tokens] = scored_bT.to(logps_BT.device)
    return logps_BT


def contrast_logps(scorer: Scorer, rollouts: Rollouts, contexts: TeacherContexts) -> Tensor:
    """Compute the log of each sampled token's mean probability over the contrast hints, `[B, T]`; NaN as above."""
    scored_KBT = torch.stack([teacher_logps(scorer, rollouts, contexts_B) for contexts_B in contexts.contrasts_KB])
    if len(scored_KBT) == 1:
        return scored_KBT[0]
    has_context_KB = torch.tensor(
        [[context is not None for context in contexts_B] for contexts_B in contexts.contrasts_KB]
    )
    has_context_KB1 = has_context_KB[:, :, None].to(scored_KBT.device)
    count_B1 = has_context_KB1.sum(0).to(scored_KBT.dtype)
    return scored_KBT.masked_fill(~has_context_KB1, -torch.inf).logsumexp(0) - count_B1.log()


def keep_with_context(batch: MicroBatch, contexts_B: SequenceContexts) -> MicroBatch:
    """Reduce a micro-batch to the sequences for which this teacher has a context, keeping its width."""
    kept = [b for b in batch.sequences.tolist() if contexts_B[b] is not None]
    return MicroBatch(torch.tensor(kept, dtype=torch.long), batch.num_completion_tokens)


def batch_contexts(contexts_B: SequenceContexts, batch: MicroBatch) -> list[Context]:
    """Return this teacher's contexts for the sequences of a micro-batch, each of which must have one."""
    contexts = [contexts_B[b] for b in batch.sequences.tolist()]
    return [context for context in contexts if context is not None]
