"""Imitation of worked solutions: cross-entropy on the tokens of a given completion (docs/rlsd.md section 7).

`L = - 1/N sum_t log P_S(y*_t | x, y*_<t)` over the `N` target tokens of a step, end of sequence included, the prompt
excluded. No completion is sampled and no reward is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from backend.core.hints import Hint
from worker.engine.distributed import ProcessGroup
from worker.engine.model.policy import Policy
from worker.engine.rollouts.logprobs import MicroBatch, completion_logps, plan_micro_batches, tokens_run
from worker.engine.rollouts.prefill import prefill_of, text_after_answer
from worker.engine.rollouts.prompts import Context, Prompt
from worker.engine.seeds import derive
from worker.engine.settings import Settings
from worker.engine.teacher.hints import row_text
from worker.engine.training.optimizer import gradient_norm, reduce_gradients, take_optimizer_step, zero_gradients


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A completion to imitate."""

    context: Context
    target_ids: tuple[int, ...]
    """The completion as the student would sample it, end of sequence included."""


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


def demonstrations(
    prompts: Sequence[Prompt], *, policy: Policy, target: Hint, max_completion_tokens: int
) -> list[Demonstration]:
    """Build a demonstration of each prompt whose row has the target, unless it is longer than a completion may be.

    Where the chat template begins the answer itself, as with `<think>`, the target continues from there.
    """
    tokenizer, end = policy.tokenizer, end_of_turn(policy)
    begun = prefill_of(tokenizer).strip()
    found = []
    for prompt in prompts:
        text = row_text(prompt.task, kind=target)
        if text is None:
            continue
        text = text.strip().removeprefix(begun).lstrip()
        ids = (*tokenizer.encode(text, add_special_tokens=False), end)
        if len(ids) <= max_completion_tokens:
            found.append(Demonstration(prompt.student, ids))
    return found


def end_of_turn(policy: Policy) -> int:
    """Return the token with which the chat template ends an answer, if it ends completions; else any that does."""
    after = policy.tokenizer.encode(text_after_answer(policy.tokenizer), add_special_tokens=False)
    return next((token for token in after if token in policy.eos_ids), policy.eos_ids[0])


def imitate(
    policy: Policy,
    optimizer: torch.optim.AdamW,
    batch: Sequence[Demonstration],
    *,
    step: int,
    learning_rate: float,
    settings: Settings,
    world: ProcessGroup = ProcessGroup.single(),
) -> ImitationUpdate:
    """Take one optimizer step on a batch. Fault, before weights change, when loss or gradient is not finite.

    Each process runs its share of the batch; gradient, loss and token count are summed over all.
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
        purpose = "dropout" if world.is_leader else f"dropout {world.rank}"
        torch.manual_seed(derive(settings.seed, step=step, purpose=purpose))
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
