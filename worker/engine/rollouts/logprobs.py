"""Owns the log-probability of given completions under given prompts: one code path for student and teacher.

Where the model allows it, all tokens of a micro-batch stand in one row without padding, and a context that several
completions share is run once (`packing.py`). Elsewhere sequences are laid out context, completion, padding: a causal
model cannot see what stands to the right, so neither an attention mask nor position ids are needed, and padding cannot
shift anything. Student and teachers go the same way in the same shapes, so equal inputs agree to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.model.packing import Packing, packed_states
from worker.engine.model.policy import Policy
from worker.engine.model.token_logprobs import token_logps
from worker.engine.model.traits import anatomy, causal_model, project
from worker.engine.rollouts.prompts import Context
from worker.engine.rollouts.rollouts import Rollouts

__all__ = [
    "MicroBatch",
    "completion_logps",
    "completion_states",
    "logps_of_states",
    "micro_batch_inputs",
    "plan_for",
    "plan_micro_batches",
    "project",
    "shares_contexts",
    "student_contexts",
    "tokens_run",
]


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
    shared: bool = False,
) -> list[MicroBatch]:
    """Micro-batches over these sequences of a step, wide enough for the students' and the teachers' contexts.

    Student and teachers share the plan, so that equal inputs are computed in equal shapes and agree to the last bit.
    `readings` holds what each teacher reads, `[B]` each. `shared` says that every model will share contexts
    (`shares_contexts`): then a prompt's sequences stand together, and the budget is of tokens without padding; what a
    pass keeps follows from them (`blocks.py`).
    """
    lengths = rollouts.lengths_B.tolist()
    students = [rollouts.prompt_of(b).student for b in range(len(lengths))]
    everyones = [students, *readings]
    total = [
        max(len(context.ids) for reading in everyones if (context := reading[b]) is not None) + length
        for b, length in enumerate(lengths)
    ]
    if not shared:
        return plan_micro_batches(
            sequences, total_lengths=total, completion_lengths=lengths, micro_batch_tokens=micro_batch_tokens
        )
    groups = [b // rollouts.num_generations for b in range(len(lengths))]
    longest: dict[int, int] = {}
    for b in sequences:
        longest[groups[b]] = max(total[b], longest.get(groups[b], 0))
    ordered = sorted(sequences, key=lambda b: (-longest[groups[b]], groups[b], -lengths[b], b))
    return _shared_micro_batches(ordered, readings=everyones, lengths=lengths, micro_batch_tokens=micro_batch_tokens)


def _shared_micro_batches(
    ordered: Sequence[int],
    *,
    readings: Sequence[Sequence[Context | None]],
    lengths: Sequence[int],
    micro_batch_tokens: int,
) -> list[MicroBatch]:
    """Cut sequences in this order wherever the budget of any reader is spent; equal contexts count once."""
    batches: list[list[int]] = []
    used: list[int] = []
    met: list[set[tuple[int, ...]]] = []

    def added(b: int) -> list[int]:
        """Tokens that sequence `b` adds for each reader."""
        contexts = [reading[b] for reading in readings]
        return [
            0 if context is None else lengths[b] + len(context.ids) * (context.ids not in known)
            for context, known in zip(contexts, met, strict=True)
        ]

    for b in ordered:
        if not batches or max(map(sum, zip(used, added(b), strict=True))) > micro_batch_tokens:
            batches.append([])
            used, met = [0] * len(readings), [set() for _ in readings]
        batches[-1].append(b)
        used = [tokens + more for tokens, more in zip(used, added(b), strict=True)]
        for reading, known in zip(readings, met, strict=True):
            if (context := reading[b]) is not None:
                known.add(context.ids)
    return [MicroBatch(torch.tensor(batch), max(lengths[b] for b in batch)) for batch in batches]


def shares_contexts(policy: Policy) -> bool:
    """Whether the model can run a context once for all completions that follow it; those that see images cannot."""
    return anatomy(policy).packs and policy.vision is None


def completion_states(
    policy: Policy, contexts: Sequence[Context], completion_ids_BT: Tensor, mask_BT: Tensor | None = None
) -> Tensor:
    """The states that predict each completion token after its context, `[B, T, H]`; see `project`.

    Outside the mask (None: all tokens are real) they mean nothing. Carries a gradient where grad is on.
    """
    device = policy.device
    ids_BT = policy.as_input(completion_ids_BT.to(device))
    if shares_contexts(policy):
        width = ids_BT.shape[1]
        lengths = [width] * len(contexts) if mask_BT is None else mask_BT.sum(1).tolist()
        packing = Packing.of([context.ids for context in contexts], ids_BT, lengths, dtype=_dtype(policy))
        return packed_states(causal_model(policy).base_model, packing)
    return _whole_states(policy, contexts, ids_BT)


def _whole_states(policy: Policy, contexts: Sequence[Context], ids_BT: Tensor) -> Tensor:
    """The same from sequences side by side, every context run for each completion."""
    device, num_tokens = policy.device, ids_BT.shape[1]
    prompt_lengths = [len(context.ids) for context in contexts]
    width = max(prompt_lengths) + num_tokens
    input_ids = torch.full((len(contexts), width), policy.pad_id, dtype=torch.long)
    for row, context in enumerate(contexts):
        input_ids[row, : len(context.ids)] = torch.tensor(context.ids)
    columns_BT = torch.tensor(prompt_lengths, device=device)[:, None] + torch.arange(num_tokens, device=device)
    images = policy.image_inputs([context.sight for context in contexts], starts=[0] * len(contexts), width=width)
    states_BWH: Tensor = (
        causal_model(policy)
        .base_model(input_ids=input_ids.to(device).scatter(1, columns_BT, ids_BT), use_cache=False, **images)
        .last_hidden_state
    )
    return states_BWH.gather(1, (columns_BT - 1)[:, :, None].expand(-1, -1, states_BWH.shape[-1]))


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
    ids_BT, mask_BT = completion_ids_BT.to(policy.device), mask_BT.to(policy.device)
    states_BTH = completion_states(policy, contexts, ids_BT, mask_BT)
    return logps_of_states(policy, states_BTH, ids_BT, mask_BT, temperature=temperature)


def logps_of_states(
    policy: Policy, states_BTH: Tensor, ids_BT: Tensor, mask_BT: Tensor, *, temperature: float
) -> Tensor:
    """The same from states that are there already."""
    logps_N = token_logps(policy, states_BTH[mask_BT], ids_BT[mask_BT], temperature=temperature)
    return logps_N.new_zeros(mask_BT.shape).masked_scatter(mask_BT, logps_N)


def tokens_run(policy: Policy, contexts: Sequence[Context], mask_BT: Tensor) -> int:
    """Tokens that go through the model for these completions, padding included."""
    if shares_contexts(policy):
        return sum(len(ids) for ids in {context.ids for context in contexts}) + int(mask_BT.sum()) - len(contexts)
    return len(contexts) * (max(len(context.ids) for context in contexts) + mask_BT.shape[1])


def _dtype(policy: Policy) -> torch.dtype:
    dtype: torch.dtype = causal_model(policy).dtype
    return dtype


def micro_batch_inputs(rollouts: Rollouts, batch: MicroBatch) -> tuple[Tensor, Tensor]:
    """Completion ids and mask of a micro-batch, cut to its longest completion."""
    rows = batch.sequences.to(rollouts.mask_BT.device)
    span = slice(0, batch.num_completion_tokens)
    return rollouts.completion_ids_BT[rows, span], rollouts.mask_BT[rows, span]


def student_contexts(rollouts: Rollouts, batch: MicroBatch) -> list[Context]:
    """What the student read before the sequences of a micro-batch."""
    return [rollouts.prompt_of(b).student for b in batch.sequences.tolist()]
