"""Owns the packed forward pass: a context that several completions share goes through the model once, padding never.

All tokens of a micro-batch stand in one row: first each different context, then each completion without its last token,
which predicts nothing. Everything but attention works token by token and does not notice. In attention a completion's
token looks at its own context and at its own completion; it is computed here, in transformers' seam for attention.

Gradients of a shared context are those of all its completions together: nothing is cached or detached. Only models
whose attention is full, causal and plain are packed (`can_pack`), and only contexts of words.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

ATTENTION = "shared_context"
"""The name under which transformers finds `shared_attention`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Where everything stands in the row of `N` tokens. `Q` different contexts, `L` and `T` the longest of each."""

    input_ids_1N: Tensor
    position_ids_1N: Tensor
    context_QL: Tensor
    """Places of the contexts' tokens; of what is padding: place 0."""
    from_contexts: Tensor
    """Where the tokens of the contexts stand in `context_QL`, flattened."""
    query_BT: Tensor
    """Places of the completions' tokens, the last one left out; padding as above."""
    from_queries: Tensor
    """Where the tokens of the completions stand in `query_BT`, flattened."""
    key_BS: Tensor
    """Places of what each completion looks at: its context, then itself."""
    bias_B1TS: Tensor
    """0 where a token may look, -inf where not; in the model's dtype."""
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
        lengths_Q = torch.tensor([len(ids) for ids in place_of])
        starts_Q = lengths_Q.cumsum(0) - lengths_Q
        context_B = torch.tensor([place_of[ids] for ids in contexts])
        lengths_B1, starts_B1 = lengths_Q[context_B][:, None], starts_Q[context_B][:, None]

        written_B = torch.tensor(lengths) - 1  # tokens that are read; the last one is not
        begins_B1 = (int(lengths_Q.sum()) + written_B.cumsum(0) - written_B)[:, None]
        columns_L, columns_T = torch.arange(int(lengths_Q.max())), torch.arange(int(written_B.max()))
        is_context_QL, is_query_BT = columns_L < lengths_Q[:, None], columns_T < written_B[:, None]
        columns_S = torch.arange(int((lengths_B1[:, 0] + written_B).max()))
        key_BS = torch.where(columns_S < lengths_B1, starts_B1 + columns_S, begins_B1 + columns_S - lengths_B1)
        allowed_BTS = columns_S <= (lengths_B1 + columns_T)[:, :, None]
        is_key_BS = columns_S < lengths_B1 + written_B[:, None]
        states_BT = begins_B1 + torch.arange(width) - 1
        states_BT[:, 0] = (starts_B1 + lengths_B1)[:, 0] - 1

        read_BT = torch.arange(width) < written_B[:, None]
        ids = [token for context in place_of for token in context]
        input_ids_N = torch.cat([torch.tensor(ids, device=device), completion_ids_BT[read_BT.to(device)]])
        positions_N = torch.cat(
            [columns_L.expand_as(is_context_QL)[is_context_QL], (lengths_B1 + columns_T)[is_query_BT]]
        )
        bias_BTS = torch.zeros(allowed_BTS.shape, dtype=dtype).masked_fill(~allowed_BTS, -torch.inf)
        return cls(
            input_ids_1N=input_ids_N[None],
            position_ids_1N=positions_N[None].to(device),
            context_QL=(starts_Q[:, None] + columns_L).where(is_context_QL, 0).to(device),
            from_contexts=is_context_QL.flatten().nonzero().squeeze(1).to(device),
            query_BT=(begins_B1 + columns_T).where(is_query_BT, 0).to(device),
            from_queries=is_query_BT.flatten().nonzero().squeeze(1).to(device),
            key_BS=key_BS.where(is_key_BS, 0).to(device),
            bias_B1TS=bias_BTS[:, None].to(device),
            states_BT=states_BT.clamp(max=len(input_ids_N) - 1).to(device),
        )


def packed_states(body: Any, packing: Packing) -> Tensor:
    """The states that predict each completion token, `[B, T, H]`; padding holds those of some other token."""
    with _attending(body.config):
        states_1NH: Tensor = body(
            input_ids=packing.input_ids_1N,
            position_ids=packing.position_ids_1N,
            # A mask of four axes is taken as it is, so none is made; `shared_attention` does not read it.
            attention_mask=packing.bias_B1TS.new_zeros(1, 1, 1, 1),
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

    def heads_at(places: Tensor, flat: Tensor) -> Tensor:
        return _rows_at(places, flat).view(*places.shape, -1, head_dim).transpose(1, 2)

    def attend(queries: Tensor, keys: Tensor, *, chosen: Tensor, bias: Tensor | None) -> Tensor:
        attended = scaled_dot_product_attention(
            heads_at(queries, flat_query),
            heads_at(keys, flat_key),
            heads_at(keys, flat_value),
            attn_mask=bias,
            is_causal=bias is None,
            scale=scaling,
            enable_gqa=key_1KND.shape[1] != num_heads,
        )
        return attended.transpose(1, 2).reshape(-1, num_heads * head_dim).index_select(0, chosen)

    parts = [attend(packing.context_QL, packing.context_QL, chosen=packing.from_contexts, bias=None)]
    if packing.query_BT.shape[1] > 0:
        parts.append(attend(packing.query_BT, packing.key_BS, chosen=packing.from_queries, bias=packing.bias_B1TS))
    return torch.cat(parts).view(1, -1, num_heads, head_dim), None


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
        except (ValueError, TypeError, RuntimeError, AttributeError):
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
