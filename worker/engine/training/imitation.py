"""Imitation of worked solutions: cross-entropy on the tokens of a given completion (docs/rlsd.md section 7).

`L = - 1/N sum_t log P_S(y*_t | x, y*_<t)` over the `N` target tokens of a step, end of sequence included, the prompt
excluded. No completion is sampled and no reward is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from worker.engine.distributed import ProcessGroup
from worker.engine.model.policy import Policy
from worker.engine.rollouts.logprobs import MicroBatch, completion_logps, plan_micro_batches, tokens_run
from worker.engine.seeds import derive
from worker.engine.settings import Settings
from worker.engine.training.demonstrations import Demonstration
from worker.engine.training.optimizer import gradient_norm, reduce_gradients, take_optimizer_step, zero_gradients


@dataclass(frozen=True, slots=True)
class ImitationUpdate:
    """Results of an optimizer step."""

    loss: float
    """Mean over the step's target tokens, in nats."""
    gradient_norm: float
    """Before clipping."""
    target_tokens: int
    num_tokens: int
    """Tokens of the student's passes, padding included."""


def imitate(
    policy: Policy,
    optimizer: torch.optim.AdamW,
    batch: Sequence[Demonstration],
    *,
    step: int,
    purpose: str,
    learning_rate: float,
    settings: Settings,
    world: ProcessGroup = ProcessGroup.single(),
) -> ImitationUpdate:
    """Take one optimizer step on a batch. Fault, before weights change, when loss or gradient is not finite.

    `step` counts those of the run, from 1; with `purpose` it determines the dropout. Each process runs its share of the
    batch; gradient, loss and token count are summed over all.
    """
    lengths = [len(one.target_ids) for one in batch]
    plan = plan_micro_batches(
        range(len(batch))[world.share(len(batch))],
        total_lengths=[len(one.context.ids) + length for one, length in zip(batch, lengths, strict=True)],
        completion_lengths=lengths,
        micro_batch_tokens=settings.micro_batch_tokens,
    )
    zero_gradients(policy)
    loss, num_tokens = 0.0, 0
    with torch.random.fork_rng():
        dropout = "dropout" if world.is_leader else f"dropout {world.rank}"
        torch.manual_seed(derive(settings.seed, step=step, purpose=f"{purpose} {dropout}"))
        policy.model.train()
        for micro_batch in plan:
            micro_loss, tokens = _micro_batch_loss(policy, batch, micro_batch)
            torch.autograd.backward(micro_loss / sum(lengths))
            loss += micro_loss.item() / sum(lengths)
            num_tokens += tokens
    policy.model.eval()
    reduce_gradients(policy, world=world)
    update = ImitationUpdate(
        loss=world.total(loss),
        gradient_norm=gradient_norm(policy),
        target_tokens=sum(lengths),
        num_tokens=int(world.total(num_tokens)),
    )
    take_optimizer_step(
        policy,
        optimizer,
        loss=update.loss,
        norm=update.gradient_norm,
        learning_rate=learning_rate,
        step=step,
        settings=settings,
    )
    return update


def _micro_batch_loss(
    policy: Policy, batch: Sequence[Demonstration], micro_batch: MicroBatch
) -> tuple[torch.Tensor, int]:
    """Return the summed cross-entropy of a micro-batch, and the number of tokens run."""
    chosen = [batch[index] for index in micro_batch.sequences.tolist()]
    ids_bT = torch.full((len(chosen), micro_batch.num_completion_tokens), policy.pad_id)
    mask_bT = torch.zeros(ids_bT.shape, dtype=torch.bool)
    for row, one in enumerate(chosen):
        ids_bT[row, : len(one.target_ids)] = torch.tensor(one.target_ids)
        mask_bT[row, : len(one.target_ids)] = True
    contexts = [one.context for one in chosen]
    logps_bT = completion_logps(policy, contexts, ids_bT, mask_bT, temperature=1.0)
    return -logps_bT.sum(), tokens_run(policy, contexts, mask_bT)
