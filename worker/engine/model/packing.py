"""Owns the packed forward pass: a context that several completions share goes through the model once, padding never.

All tokens of a micro-batch stand in one row: first each different context, then the completions of each without their
last token, which predicts nothing. Everything but attention works token by token and does not notice. In attention a
completion's token looks at its own context and at its own completion; it is computed here, in transformers' seam for
attention, block by block (`blocks.py`).

Gradients of a shared context are those of all its completions together: nothing is cached or detached. Only models
whose attention is full, causal and plain are packed (`can_pack`), and only contexts of words.
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

from worker.engine.faults import is_about_memory
from worker.engine.model.packed_attention import Block, blocks_of, bundled

ATTENTION = "shared_context"
"""The name under which transformers finds `shared_attention`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Where everything stands in the row of `N` tokens."""

    input_ids_1N: Tensor
    position_ids_1N: Tensor
    blocks: tuple[Block, ...]
    """What attends to what."""
    answer_N: Tensor
    """Where each token's answer stands among the answers of all blocks, padding included."""
    states_BT: Tensor
    """Places of the tokens that predict each completion token."""

    @classmethod
    def of(
        cls,
        contexts: Sequence[tuple[int, ...]],
        completion_ids_BT: Tensor,
        lengths: Sequence[int],
        *,
        dtype: torch.dtype,
    ) -> "Packing":
        """Pack completions of these lengths (from 1) after their contexts; equal contexts are one."""
        device, width = completion_ids_BT.device, completion_ids_BT.shape[1]
        place_of = {ids: place for place, ids in enumerate(dict.fromkeys(contexts))}
        context_B = [place_of[ids] for ids in contexts]
        # Completions of one context stand together, and are read without their last token.
        order = sorted(range(len(contexts)), key=lambda b: context_B[b])
        spans_Q = _one_after_another([len(ids) for ids in place_of], start=0)
        spans = _one_after_another([lengths[b] - 1 for b in order], start=spans_Q[-1].stop)
        completions_Q: list[list[range]] = [[] for _ in place_of]
        for b, span in zip(order, spans, strict=True):
            completions_Q[context_B[b]].append(span)
        bundles = [bundle for each in zip(spans_Q, completions_Q, strict=True) for bundle in bundled(*each)]
        blocks = blocks_of(spans_Q, bundles, dtype=dtype)

        states_BT = torch.empty(len(contexts), width, dtype=torch.long)
        states_BT[order] = torch.tensor([span.start for span in spans])[:, None] + torch.arange(width) - 1
        states_BT[:, 0] = torch.tensor([spans_Q[place].stop - 1 for place in context_B])
        is_read_BT = torch.arange(width) < torch.tensor([lengths[b] - 1 for b in order])[:, None]
        context_ids = torch.tensor([token for ids in place_of for token in ids], device=device)
        starts = [len(contexts[b]) for b in order]
        positions = [torch.arange(len(span)) for span in spans_Q]
        positions += [torch.arange(start, start + len(span)) for start, span in zip(starts, spans, strict=True)]
        return cls(
            input_ids_1N=torch.cat([context_ids, completion_ids_BT[order][is_read_BT.to(device)]])[None],
            position_ids_1N=torch.cat(positions)[None].to(device),
            blocks=tuple(block.to(device) for block in blocks),
            answer_N=_answers(blocks, num_tokens=spans[-1].stop).to(device),
            states_BT=states_BT.clamp(max=spans[-1].stop - 1).to(device),
        )


def _one_after_another(lengths: Sequence[int], *, start: int) -> list[range]:
    """Spans of these lengths that follow one another."""
    return [range(begin, end) for begin, end in pairwise(accumulate(lengths, initial=start))]


def _answers(blocks: Sequence[Block], *, num_tokens: int) -> Tensor:
    """Where each token's answer stands among the blocks' answers one after another, `[N]`."""
    is_query = torch.cat([block.is_query_RT.flatten() for block in blocks])
    places = torch.cat([block.query_RT.flatten() for block in blocks])
    answer_N = torch.empty(num_tokens, dtype=torch.long)
    answer_N[places[is_query]] = is_query.nonzero().squeeze(1)
    return answer_N


def packed_states(body: Any, packing: Packing) -> Tensor:
    """The states that predict each completion token, `[B, T, H]`; padding holds those of some other token."""
    with _attending(body.config):
        states_1NH: Tensor = body(
            input_ids=packing.input_ids_1N,
            position_ids=packing.position_ids_1N,
            # A mask of four axes is taken as it is, so none is made; `shared_attention` does not read it.
            attention_mask=torch.zeros(1, 1, 1, 1, dtype=body.dtype, device=packing.input_ids_1N.device),
            use_cache=False,
            packing=packing,
        ).last_hidden_state
    return _rows_at(packing.states_BT, states_1NH[0])


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
    """Attention of a packed row, `[1, N, heads, head_dim]`. ValueError where it is not plain.

    `H` are the heads of the queries, `K` those of keys and values.
    """
    unknown = [name for name in ("sliding_window", "softcap", "s_aux", "position_bias") if others.get(name) is not None]
    if unknown or dropout > 0:
        raise ValueError(f"attention with {', '.join(unknown) or 'dropout'} cannot be packed")
    num_heads, head_dim = query_1HND.shape[1], query_1HND.shape[3]
    flat_query, flat_key, flat_value = (
        states[0].transpose(0, 1).reshape(states.shape[2], -1) for states in (query_1HND, key_1KND, value_1KND)
    )

    def heads_at(places: Tensor, flat: Tensor, *, repeats: int = 1) -> Tensor:
        heads = _rows_at(places, flat).view(*places.shape, -1, head_dim).transpose(1, 2)
        return heads if repeats == 1 else heads.repeat_interleave(repeats, dim=1)

    def attend(block: Block) -> Tensor:
        grouped = key_1KND.shape[1] != num_heads
        # With a mask, GPUs have no kernel for grouped heads but one that keeps every weight of every head.
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

    answers = torch.cat([attend(block) for block in packing.blocks])
    return answers.index_select(0, packing.answer_N).view(1, -1, num_heads, head_dim), None


def _rows_at(places: Tensor, rows: Tensor) -> Tensor:
    """`[..., F]` rows at places of any shape."""
    return rows.index_select(0, places.flatten()).view(*places.shape, -1)


AttentionInterface.register(ATTENTION, shared_attention)


@contextmanager
def _attending(config: Any) -> Iterator[None]:
    """Let the model attend by `shared_attention` inside the block."""
    usual = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = usual


def can_pack(body: Any) -> bool:
    """Whether a packed pass gives the states that whole sequences give; tried out on a few tokens."""
    config = body.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(config, "sliding_window", None) is not None:
        return False  # a window is too wide to be noticed in a trial
    device, dtype = body.device, body.dtype
    contexts, lengths = [(5, 6, 7), (5, 6, 7), (8, 9)], [3, 2, 3]
    completions_BT = torch.tensor([[1, 2, 3], [3, 2, 1], [2, 2, 4]], device=device)
    packing = Packing.of(contexts, completions_BT, lengths, dtype=dtype)
    with torch.no_grad():
        try:
            packed_BTH = packed_states(body, packing)
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            if is_about_memory(error):
                raise
            return False
        for row, (context, length) in enumerate(zip(contexts, lengths, strict=True)):
            ids = torch.tensor([[*context, *completions_BT[row, :length].tolist()]], device=device)
            whole_TH = body(input_ids=ids, use_cache=False).last_hidden_state[0, len(context) - 1 : -1]
            furthest = (packed_BTH[row, :length] - whole_TH).abs().max()
            if not furthest <= ROUNDING[dtype] * whole_TH.abs().max():
                return False
    return True


ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}
"""How far apart two orders of the same sums may end, as a share of the largest state."""
