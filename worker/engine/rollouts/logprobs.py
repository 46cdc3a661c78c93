"""Log-probabilities of given completions under given prompts: one code path for student and teacher.

Where the model allows it, all tokens of a micro-batch are packed into one row without padding, and a context shared by
several completions is run once (`packing.py`). Otherwise sequences are laid out as context, completion, padding: a
causal model does not attend to the right, so neither an attention mask nor position ids are needed. Student and
teachers use the same path and shapes, so equal inputs agree to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.model.packing import Packing, packed_states
from worker.engine.model.policy import Policy
from worker.engine.model.token_logprobs import token_logps
from worker.engine.model.traits import causal_model, model_traits, project
from worker.engine.rollouts.prompts import Context
from worker.engine.rollouts.rollouts import Rollouts

__all__ = [
    "MicroBatch",
    "completion_logps",
    "completion_states",
    "logps_of_states",
    "micro_batch_inputs",
    "plan_micro_batches",
    "plan_rollout_batches",
    "project",
    "shares_contexts",
    "student_contexts",
    "tokens_run",
]


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Sequences that are run through the model together."""

    sequences: Tensor
    """Indices into the step's `B` sequences."""
    num_completion_tokens: int
    """Length of the longest completion among them; `T` is cut to it."""


def plan_micro_batches(
    sequences: Sequence[int],
    *,
    total_lengths: Sequence[int],
    completion_lengths: Sequence[int],
    micro_batch_tokens: int,
) -> list[MicroBatch]:
    """Split sequences into micro-batches of similar lengths, each within `micro_batch_tokens` padded tokens.

    `total_lengths[b]` is the longest input, prompt and completion, that will be run for sequence `b`. A sequence
    longer than the budget gets a micro-batch of its own.
    """
    batches: list[list[int]] = []
    for sequence in sorted(sequences, key=lambda b: (-total_lengths[b], b)):
        widest = total_lengths[batches[-1][0]] if batches else 0
        if batches and widest * (len(batches[-1]) + 1) <= micro_batch_tokens:
            batches[-1].append(sequence)
        else:
            batches.append([sequence])
    return [MicroBatch(torch.tensor(batch), max(completion_lengths[b] for b in batch)) for batch in batches]


def plan_rollout_batches(
    rollouts: Rollouts,
    *,
    sequences: Sequence[int],
    teacher_contexts: Sequence[Sequence[Context | None]],
    micro_batch_tokens: int,
    shared: bool = False,
) -> list[MicroBatch]:
    """Plan micro-batches over these sequences of a step, wide enough for the student's and the teachers' contexts.

    Student and teachers share the plan, so that equal inputs are computed in equal shapes and agree to the last bit.
    `teacher_contexts` holds each teacher's contexts, `[B]` each. With `shared`, every model runs shared contexts once
    (`shares_contexts`): a prompt's sequences are then kept together, and the budget counts tokens without padding;
    the activations a pass keeps follow from them (`blocks.py`).
    """
    lengths = rollouts.lengths_B.tolist()
    students = [rollouts.prompt_of(b).student for b in range(len(lengths))]
    all_contexts = [students, *teacher_contexts]
    total = [
        max(len(context.ids) for contexts_B in all_contexts if (context := contexts_B[b]) is not None) + length
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
    return _shared_micro_batches(
        ordered, contexts_per_model=all_contexts, lengths=lengths, micro_batch_tokens=micro_batch_tokens
    )


def _shared_micro_batches(
    ordered: Sequence[int],
    *,
    contexts_per_model: Sequence[Sequence[Context | None]],
    lengths: Sequence[int],
    micro_batch_tokens: int,
) -> list[MicroBatch]:
    """Split sequences, in this order, wherever any model's token budget is used up; equal contexts count once."""
    batches: list[list[int]] = []
    used: list[int] = []
    counted: list[set[tuple[int, ...]]] = []

    def added(b: int) -> list[int]:
        """Count the tokens that sequence `b` adds for each model."""
        contexts = [contexts_B[b] for contexts_B in contexts_per_model]
        return [
            0 if context is None else lengths[b] + len(context.ids) * (context.ids not in known)
            for context, known in zip(contexts, counted, strict=True)
        ]

    for b in ordered:
        if not batches or max(map(sum, zip(used, added(b), strict=True))) > micro_batch_tokens:
            batches.append([])
            used, counted = [0] * len(contexts_per_model), [set() for _ in contexts_per_model]
        batches[-1].append(b)
        used = [tokens + more for tokens, more in zip(used, added(b), strict=True)]
        for contexts_B, known in zip(contexts_per_model, counted, strict=True):
            if (context := contexts_B[b]) is not None:
                known.add(context.ids)
    return [MicroBatch(torch.tensor(batch), max(lengths[b] for b in batch)) for batch in batches]


def shares_contexts(policy: Policy) -> bool:
    """Whether the model can run a context once for all completions that follow it; vision models cannot."""
    return model_traits(policy).supports_packing and policy.vision is None


def completion_states(
    policy: Policy, contexts: Sequence[Context], completion_ids_BT: Tensor, mask_BT: Tensor | None = None
) -> Tensor:
    """Compute the hidden states that predict each completion token after its context, `[B, T, H]`; see `project`.

    Undefined outside the mask (None: all tokens are valid). Carries a gradient where grad is enabled.
    """
    device = policy.device
    ids_BT = policy.as_input(completion_ids_BT.to(device))
    if shares_contexts(policy):
        width = ids_BT.shape[1]
        lengths = [width] * len(contexts) if mask_BT is None else mask_BT.sum(1).tolist()
        packing = Packing.of([context.ids for context in contexts], ids_BT, lengths, dtype=_dtype(policy))
        return packed_states(causal_model(policy).base_model, packing)
    return _padded_states(policy, contexts, ids_BT)


def _padded_states(policy: Policy, contexts: Sequence[Context], ids_BT: Tensor) -> Tensor:
    """Compute the same from padded sequences, running the context again for each completion."""
    device, num_tokens = policy.device, ids_BT.shape[1]
    prompt_lengths = [len(context.ids) for context in contexts]
    width = max(prompt_lengths) + num_tokens
    input_ids = torch.full((len(contexts), width), policy.pad_id, dtype=torch.long)
    for row, context in enumerate(contexts):
        input_ids[row, : len(context.ids)] = torch.tensor(context.ids)
    columns_BT = torch.tensor(prompt_lengths, device=device)[:, None] + torch.arange(num_tokens, device=device)
    images = policy.image_inputs([context.image_spans for context in contexts], starts=[0] * len(contexts), width=width)
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
    """Compute log-probabilities of completion tokens after their contexts, `[B, T]`, 0 outside the mask.

    At the temperature, by log-softmax in float32 (float64 for a float64 model). Carries a gradient where grad is
    enabled.
    """
    ids_BT, mask_BT = completion_ids_BT.to(policy.device), mask_BT.to(policy.device)
    states_BTH = completion_states(policy, contexts, ids_BT, mask_BT)
    return logps_of_states(policy, states_BTH, ids_BT, mask_BT, temperature=temperature)


def logps_of_states(
    policy: Policy, states_BTH: Tensor, ids_BT: Tensor, mask_BT: Tensor, *, temperature: float
) -> Tensor:
    """Compute the log-probabilities from hidden states, `[B, T]`, 0 outside the mask."""
    logps_N = token_logps(policy, states_BTH[mask_BT], ids_BT[mask_BT], temperature=temperature)
    return logps_N.new_zeros(mask_BT.shape).masked_scatter(mask_BT, logps_N)


def tokens_run(policy: Policy, contexts: Sequence[Context], mask_BT: Tensor) -> int:
    """Count the tokens run through the model for these completions, padding included."""
    if shares_contexts(policy):
        return sum(len(ids) for ids in {context.ids for context in contexts}) + int(mask_BT.sum()) - len(contexts)
    return len(contexts) * (max(len(context.ids) for context in contexts) + mask_BT.shape[1])


def _dtype(policy: Policy) -> torch.dtype:
    dtype: torch.dtype = causal_model(policy).dtype
    return dtype


def micro_batch_inputs(rollouts: Rollouts, batch: MicroBatch) -> tuple[Tensor, Tensor]:
    """Return completion ids and mask of a micro-batch, cut to its longest completion."""
    rows = batch.sequences.to(rollouts.mask_BT.device)
    span = slice(0, batch.num_completion_tokens)
    return rollouts.completion_ids_BT[rows, span], rollouts.mask_BT[rows, span]


def student_contexts(rollouts: Rollouts, batch: MicroBatch) -> list[Context]:
    """Return the student's contexts for the sequences of a micro-batch."""
    return [rollouts.prompt_of(b).student for b in batch.sequences.tolist()]
