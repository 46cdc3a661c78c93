"""Owns the teachers' word: networks with more to read, or more weights, score the student's tokens. None generates."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.model.policy import Policy
from worker.engine.rollouts.logprobs import MicroBatch, completion_logps, micro_batch_inputs
from worker.engine.rollouts.prompts import Context
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.teacher.contexts import Reading, TeacherContexts
from worker.engine.types import TeacherWeights


@dataclass(frozen=True, slots=True)
class Scorer:
    """A network with the weights, micro-batches and temperature it scores at."""

    policy: Policy
    plan: Sequence[MicroBatch]
    weights: TeacherWeights
    temperature: float


def teacher_logps(scorer: Scorer, rollouts: Rollouts, reading: Reading) -> Tensor:
    """log-probabilities of the sampled tokens after what a teacher reads, `[B, T]`.

    0 outside the mask; NaN for whole sequences that are not in the plan or that there is nothing to read for.
    """
    policy = scorer.policy
    # The model's own precision is kept: a float64 model is scored in float64.
    dtype = torch.promote_types(policy.model.dtype, torch.float32)
    logps_BT = torch.full(rollouts.mask_BT.shape, torch.nan, dtype=dtype, device=rollouts.mask_BT.device)
    policy.model.eval()
    with torch.no_grad(), policy.weights(scorer.weights):
        for batch in (told(batch, reading) for batch in scorer.plan):
            if len(batch.sequences) == 0:
                continue
            ids_bT, mask_bT = micro_batch_inputs(rollouts, batch)
            contexts = contexts_of(reading, batch)
            scored_bT = completion_logps(policy, contexts, ids_bT, mask_bT, temperature=scorer.temperature)
            rows = batch.sequences.to(logps_BT.device)
            logps_BT[rows] = 0.0  # also behind the longest completion of the micro-batch
            logps_BT[rows, : batch.num_completion_tokens] = scored_bT.to(logps_BT.device)
    return logps_BT


def contrast_logps(scorer: Scorer, rollouts: Rollouts, briefing: TeacherContexts) -> Tensor:
    """log of the mean probability of each sampled token over the contrasting hints, `[B, T]`; NaN as above."""
    scored_KBT = torch.stack([teacher_logps(scorer, rollouts, reading) for reading in briefing.contrasts_KB])
    if len(scored_KBT) == 1:
        return scored_KBT[0]
    told_KB = torch.tensor([[context is not None for context in reading] for reading in briefing.contrasts_KB])
    told_KB1 = told_KB[:, :, None].to(scored_KBT.device)
    count_B1 = told_KB1.sum(0).to(scored_KBT.dtype)
    return scored_KBT.masked_fill(~told_KB1, -torch.inf).logsumexp(0) - count_B1.log()


def told(batch: MicroBatch, reading: Reading) -> MicroBatch:
    """The sequences of a micro-batch that this teacher has something to read for, in the same shape."""
    kept = [b for b in batch.sequences.tolist() if reading[b] is not None]
    return MicroBatch(torch.tensor(kept, dtype=torch.long), batch.num_completion_tokens)


def contexts_of(reading: Reading, batch: MicroBatch) -> list[Context]:
    """What this teacher reads before the sequences of a micro-batch, all of which it has something to read for."""
    contexts = [reading[b] for b in batch.sequences.tolist()]
    return [context for context in contexts if context is not None]
