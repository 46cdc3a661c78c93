"""Owns the log-probability of given completions under given prompts: one code path for student and teacher.

Sequences are laid out prompt, completion, padding. A causal model cannot see what stands to the right, so neither an
attention mask nor position ids are needed, and padding cannot shift anything. Logits are computed only for the columns
that predict some completion token of the micro-batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.policy import Policy
from worker.engine.prompts import Context
from worker.engine.rollout import Rollouts


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Sequences that go through the model together."""

    sequences: Tensor
    """Indices into the step's `B` sequences."""
    num_completion_tokens: int
    """The longest completion among them: their share of `T`."""


def plan_micro_batches(
    sequences: Sequence[int],
    *,
    total_lengths: Sequence[int],
    completion_lengths: Sequence[int],
    micro_batch_tokens: int,
) -> list[MicroBatch]:
    """Cut sequences into micro-batches of alike lengths, each within `micro_batch_tokens` padded tokens.

    `total_lengths[b]` is the longest sequence, prompt and completion, that will be run for sequence `b`. A sequence
    longer than the budget goes alone.
    """
    batches: list[list[int]] = []
    for sequence in sorted(sequences, key=lambda b: (-total_lengths[b], b)):
        widest = total_lengths[batches[-1][0]] if batches else 0
        if batches and widest * (len(batches[-1]) + 1) <= micro_batch_tokens:
            batches[-1].append(sequence)
        else:
            batches.append([sequence])
    return [MicroBatch(torch.tensor(batch), max(completion_lengths[b] for b in batch)) for batch in batches]


def plan_for(
    rollouts: Rollouts,
    *,
    sequences: Sequence[int],
    readings: Sequence[Sequence[Context | None]],
    micro_batch_tokens: int,
) -> list[MicroBatch]:
    """Micro-batches over these sequences of a step, wide enough for the students' and the teachers' contexts.

    Student and teachers share the plan, so that equal inputs are computed in equal shapes and agree to the last bit.
    `readings` holds what each teacher reads, `[B]` each.
    """
    lengths = rollouts.lengths_B.tolist()
    total = []
    for b, length in enumerate(lengths):
        contexts = [rollouts.prompt_of(b).student, *(reading[b] for reading in readings)]
        total.append(max(len(context.ids) for context in contexts if context is not None) + length)
    return plan_micro_batches(
        sequences, total_lengths=total, completion_lengths=lengths, micro_batch_tokens=micro_batch_tokens
    )


def completion_logps(
    policy: Policy,
    contexts: Sequence[Context],
    completion_ids_BT: Tensor,
    mask_BT: Tensor,
    *,
    temperature: float,
) -> Tensor:
    """log-probabilities of completion tokens after their contexts, `[B, T]`, 0 outside the mask.

    At the temperature, by log-softmax in float32 (float64 where the model is). Carries a gradient where grad is on.
    """
    device = policy.device
    prompt_lengths = [len(context.ids) for context in contexts]
    first, num_tokens = min(prompt_lengths) - 1, completion_ids_BT.shape[1]
    width = max(prompt_lengths) + num_tokens
    input_ids = torch.full((len(contexts), width), policy.pad_id, dtype=torch.long)
    for row, context in enumerate(contexts):
        input_ids[row, : len(context.ids)] = torch.tensor(context.ids)
    lengths_B1 = torch.tensor(prompt_lengths, device=device)[:, None]
    columns_BT = lengths_B1 + torch.arange(num_tokens, device=device)
    input_ids = input_ids.to(device).scatter(1, columns_BT, completion_ids_BT.to(device))
    logits: Tensor = policy.model(
        input_ids=input_ids, use_cache=False, logits_to_keep=torch.arange(first, width - 1, device=device)
    ).logits
    offsets_B1 = lengths_B1 - 1 - first
    if int(offsets_B1.max()) > 0:
        picked_BT = offsets_B1 + torch.arange(num_tokens, device=device)
        logits = logits.gather(1, picked_BT[:, :, None].expand(-1, -1, logits.shape[-1]))
    else:
        logits = logits[:, :num_tokens]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if temperature != 1:
        logits = logits / temperature
    chosen_BT = logits.gather(2, completion_ids_BT.to(device)[:, :, None]).squeeze(2)
    return (chosen_BT - logits.logsumexp(2)).where(mask_BT.to(device), 0.0)


def micro_batch_inputs(rollouts: Rollouts, batch: MicroBatch) -> tuple[Tensor, Tensor]:
    """Completion ids and mask of a micro-batch, cut to its longest completion."""
    rows = batch.sequences.to(rollouts.mask_BT.device)
    span = slice(0, batch.num_completion_tokens)
    return rollouts.completion_ids_BT[rows, span], rollouts.mask_BT[rows, span]


def student_contexts(rollouts: Rollouts, batch: MicroBatch) -> list[Context]:
    """What the student read before the sequences of a micro-batch."""
    return [rollouts.prompt_of(b).student for b in batch.sequences.tolist()]


def padded_tokens(contexts: Sequence[Context], batch: MicroBatch) -> int:
    """Tokens that go through the model for a micro-batch, padding included."""
    return len(contexts) * (max(len(context.ids) for context in contexts) + batch.num_completion_tokens)
