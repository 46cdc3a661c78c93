"""Packed forward pass: a context shared by several completions is computed once, and there is no padding.

All tokens of a micro-batch form one row: first each distinct context, then the completions of each without their last
token, which predicts nothing. All layers but attention work token by token and are unaffected. In attention a
completion's token attends to its own context and its own completion; this is computed here, through transformers'
attention interface, block by block (`packed_attention.py`).

A shared context receives the gradients of all its completions: nothing is cached or detached. Only models with full,
causal attention without extras are packed (`can_pack`), and only text contexts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from worker.engine.faults import is_out_of_memory
from worker.engine.model.packed_attention import Block, make_blocks, make_bundles

ATTENTION = "shared_context"
"""Name of `shared_attention` in transformers' registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Layout of a packed row of `N` tokens."""

    input_ids_1N: Tensor
    position_ids_1N: Tensor
    blocks: tuple[Block, ...]
    """Attention blocks."""
    output_index_N: Tensor
    """Index of each token's attention output among the outputs of all blocks, padding included."""
    state_index_BT: Tensor
    """Index of the token whose state predicts each completion token."""

    @classmethod
    def of(
        cls,
        contexts: Sequence[tuple[int, ...]],
        completion_ids_BT: Tensor,
        lengths: Sequence[int],
        *,
        dtype: torch.dtype,
    ) -> "Packing":
        """Pack completions of these lengths (at least 1) after their contexts; equal contexts are merged."""
        device, width = completion_ids_BT.device, completion_ids_BT.shape[1]
        index_of = {ids: index for index, ids in enumerate(dict.fromkeys(contexts))}
        context_B = [index_of[ids] for ids in contexts]
        # Completions of one context are adjacent, without their last tokens.
        order = sorted(range(len(contexts)), key=lambda b: context_B[b])
        spans_Q = _consecutive_spans([len(ids) for ids in index_of], start=0)
        spans = _consecutive_spans([lengths[b] - 1 for b in order], start=spans_Q[-1].stop)
        completions_Q: list[list[range]] = [[] for _ in index_of]
        for b, span in zip(order, spans, strict=True):
            completions_Q[context_B[b]].append(span)
        bundles = [bundle for each in zip(spans_Q, completions_Q, strict=True) for bundle in make_bundles(*each)]
        blocks = make_blocks(spans_Q, bundles, dtype=dtype)

        state_index_BT = torch.empty(len(contexts), width, dtype=torch.long)
        state_index_BT[order] = torch.tensor([span.start for span in spans])[:, None] + torch.arange(width) - 1
        state_index_BT[:, 0] = torch.tensor([spans_Q[index].stop - 1 for index in context_B])
        is_read_BT = torch.arange(width) < torch.tensor([lengths[b] - 1 for b in order])[:, None]
        context_ids = torch.tensor([token for ids in index_of for token in ids], device=device)
        starts = [len(contexts[b]) for b in order]
        positions = [torch.arange(len(span)) for span in spans_Q]
        positions += [torch.arange(start, start + len(span)) for start, span in zip(starts, spans, strict=True)]
        return cls(
            input_ids_1N=torch.cat([context_ids, completion_ids_BT[order][is_read_BT.to(device)]])[None],
            position_ids_1N=torch.cat(positions)[None].to(device),
            blocks=tuple(block.to(device) for block in blocks),
            output_index_N=_output_index(blocks, num_tokens=spans[-1].stop).to(device),
            state_index_BT=state_index_BT.clamp(max=spans[-1].stop - 1).to(device),
        )


def _consecutive_spans(lengths: Sequence[int], *, start: int) -> list[range]:
    """Return contiguous spans of these lengths."""
    return [range(begin, end) for begin, end in pairwise(accumulate(lengths, initial=start))]


def _output_index(blocks: Sequence[Block], *, num_tokens: int) -> Tensor:
    """Return the index of each token's output in the concatenated outputs of the blocks, `[N]`."""
    is_query = torch.cat([block.is_query_RT.flatten() for block in blocks])
    indices = torch.cat([block.query_RT.flatten() for block in blocks])
    output_index_N = torch.empty(num_tokens, dtype=torch.long)
    output_index_N[indices[is_query]] = is_query.nonzero().squeeze(1)
    return output_index_N


def packed_states(body: Any, packing: Packing) -> Tensor:
    """Compute the states that predict each completion token, `[B, T, H]`; padding contains arbitrary states."""
    with _use_shared_attention(body.config):
        states_1NH: Tensor = body(
            input_ids=packing.input_ids_1N,
            position_ids=packing.position_ids_1N,
            # A mask of four axes is passed through, so none is built; `shared_attention` ignores it.
            attention_mask=torch.zeros(1, 1, 1, 1, dtype=body.dtype, device=packing.input_ids_1N.device),
            use_cache=False,
            packing=packing,
        ).last_hidden_state
    return _select_rows(packing.state_index_BT, states_1NH[0])


def shared_attention(
    module: Any,
    query_1HND: Tensor,
    key_1KND: Tensor,
    value_1KND: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: Packing,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: object,
) -> tuple[Tensor, None]:
    """Compute attention of a packed row, `[1, N, heads, head_dim]`. ValueError for windows, soft caps or dropout.

    `H` are the query heads, `K` the key and value heads.
    """
    unknown = [name for name in ("sliding_window", "softcap", "s_aux", "position_bias") if others.get(name) is not None]
    if unknown or dropout > 0:
        raise ValueError(f"attention with {', '.join(unknown) or 'dropout'} cannot be packed")
    num_heads, head_dim = query_1HND.shape[1], query_1HND.shape[3]
    flat_query, flat_key, flat_value = (
        states[0].transpose(0, 1).reshape(states.shape[2], -1) for states in (query_1HND, key_1KND, value_1KND)
    )

    def heads_at(indices: Tensor, flat: Tensor, *, repeats: int = 1) -> Tensor:
        heads = _select_rows(indices, flat).view(*indices.shape, -1, head_dim).transpose(1, 2)
        return heads if repeats == 1 else heads.repeat_interleave(repeats, dim=1)

    def attend(block: Block) -> Tensor:
        grouped = key_1KND.shape[1] != num_heads
        # With a mask, the only GPU kernel for grouped heads stores all attention weights of every head.
        repeats = num_heads // key_1KND.shape[1] if block.bias_R1TS is not None and flat_key.is_cuda else 1
        attended = scaled_dot_product_attention(
            heads_at(block.query_RT, flat_query),
            heads_at(block.key_RS, flat_key, repeats=repeats),
            heads_at(block.key_RS, flat_value, repeats=repeats),
            attn_mask=block.bias_R1TS,
            is_causal=block.bias_R1TS is None,
            scale=scaling,
            enable_gqa=grouped and repeats == 1,
        )
        return attended.transpose(1, 2).reshape(-1, num_heads * head_dim)

    outputs = torch.cat([attend(block) for block in packing.blocks])
    return outputs.index_select(0, packing.output_index_N).view(1, -1, num_heads, head_dim), None


def _select_rows(indices: Tensor, rows: Tensor) -> Tensor:
    """Select rows at indices of any shape, `[..., F]`."""
    return rows.index_select(0, indices.flatten()).view(*indices.shape, -1)


@contextmanager
def _use_shared_attention(config: Any) -> Iterator[None]:
    """Make the model use `shared_attention` inside the block."""
    AttentionInterface.register(ATTENTION, shared_attention)
    previous = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = previous


def can_pack(body: Any) -> bool:
    """Test on a few tokens whether a packed pass gives the same states as whole sequences."""
    config = body.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(config, "sliding_window", None) is not None:
        return False  # the test is too short to detect a window
    device, dtype = body.device, body.dtype
    contexts, lengths = [(5, 6, 7), (5, 6, 7), (8, 9)], [3, 2, 3]
    completions_BT = torch.tensor([[1, 2, 3], [3, 2, 1], [2, 2, 4]], device=device)
    packing = Packing.of(contexts, completions_BT, lengths, dtype=dtype)
    with torch.no_grad():
        try:
            packed_BTH = packed_states(body, packing)
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            if is_out_of_memory(error):
                raise
            return False
        for row, (context, length) in enumerate(zip(contexts, lengths, strict=True)):
            ids = torch.tensor([[*context, *completions_BT[row, :length].tolist()]], device=device)
            whole_TH = body(input_ids=ids, use_cache=False).last_hidden_state[0, len(context) - 1 : -1]
            max_error = (packed_BTH[row, :length] - whole_TH).abs().max()
            if not max_error <= MAX_RELATIVE_ERROR[dtype] * whole_TH.abs().max():
                return False
    return True


MAX_RELATIVE_ERROR = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}
"""Rounding difference allowed between two orders of summation, as a share of the largest state."""
