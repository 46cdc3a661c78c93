"""Attention blocks of a packed row (`packing.py`): which queries attend to which keys.

Keys are copied from the row into blocks, and saved for the backward pass. To keep memory linear in the tokens of the
row, however many completions share a context, completions of one context are bundled up to about its length against
one copy of its keys, and only rows of similar width are batched. A context of `L` tokens with `W` completion tokens
needs fewer than `2 (2 L + 3 W)` copied keys, plus rounding of widths. A bundle costs less than twice the products of
its completions one by one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

MAX_WIDTH_RATIO = 2
"""Rows are batched where the widest is at most this many times as wide as the narrowest."""
MASK_ALIGNMENT = 16
"""Mask widths are a multiple of this: a GPU kernel would otherwise copy the mask in every layer."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Completions of one context that share one copy of its keys."""

    context: range
    """Indices of the context's tokens in the packed row."""
    completions: tuple[range, ...]
    """Indices of each completion's tokens: none is empty, and they are contiguous."""

    @property
    def queries(self) -> range:
        return range(self.completions[0].start, self.completions[-1].stop)

    @property
    def num_keys(self) -> int:
        return len(self.context) + len(self.queries)


@dataclass(frozen=True, slots=True)
class Block:
    """`R` rows of attention computed at once, with at most `T` queries and `S` keys; padding is index 0."""

    query_RT: Tensor
    """Indices of the query tokens."""
    key_RS: Tensor
    """Indices of the key tokens."""
    bias_R1TS: Tensor | None
    """0 where a query may attend, -inf elsewhere; None for causal attention."""
    is_query_RT: Tensor
    """False at padding."""

    def to(self, device: torch.device) -> "Block":
        bias = self.bias_R1TS
        return replace(
            self,
            query_RT=self.query_RT.to(device),
            key_RS=self.key_RS.to(device),
            bias_R1TS=None if bias is None else bias.to(device),
        )


def make_bundles(context: range, completions: Sequence[range]) -> list[Bundle]:
    """Bundle consecutive completions: a bundle is no longer than the context, or a single completion."""
    bundles: list[list[range]] = []
    for completion in completions:
        if not completion:
            continue
        if bundles and completion.stop - bundles[-1][0].start <= len(context):
            bundles[-1].append(completion)
        else:
            bundles.append([completion])
    return [Bundle(context, tuple(bundle)) for bundle in bundles]


def make_blocks(contexts: Sequence[range], bundles: Sequence[Bundle], *, dtype: torch.dtype) -> list[Block]:
    """Build all attention of a packed row: contexts to themselves, bundles to their contexts and themselves."""
    return [
        *(_context_block(group) for group in _group_by_width(contexts, width=len)),
        *(
            _bundle_block(group, dtype=dtype)
            for group in _group_by_width(bundles, width=lambda bundle: bundle.num_keys)
        ),
    ]


def _group_by_width(rows: Sequence[Row], *, width: Callable[[Row], int]) -> Iterator[list[Row]]:
    """Yield groups of rows of similar width, the widest first."""
    group: list[Row] = []
    for row in sorted(rows, key=width, reverse=True):
        if group and MAX_WIDTH_RATIO * width(row) < width(group[0]):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _context_block(contexts: Sequence[range]) -> Block:
    index_RL = _padded([torch.tensor(context) for context in contexts])
    lengths_R1 = torch.tensor([[len(context)] for context in contexts])
    return Block(index_RL, index_RL, None, torch.arange(index_RL.shape[1]) < lengths_R1)


def _bundle_block(bundles: Sequence[Bundle], *, dtype: torch.dtype) -> Block:
    query_RT = _padded([torch.tensor(bundle.queries) for bundle in bundles])
    key_RS = _padded([torch.tensor([*bundle.context, *bundle.queries]) for bundle in bundles])
    key_RS = pad(key_RS, (0, -key_RS.shape[1] % MASK_ALIGNMENT))
    # Index of the first token of each query's completion.
    first_RT = _padded([torch.tensor([c.start for c in bundle.completions for _ in c]) for bundle in bundles])
    lengths_R1 = torch.tensor([[len(bundle.context)] for bundle in bundles])
    is_context_R1S = (torch.arange(key_RS.shape[1]) < lengths_R1)[:, None]
    is_own_RTS = (first_RT[:, :, None] <= key_RS[:, None]) & (key_RS[:, None] <= query_RT[:, :, None])
    bias_RTS = torch.zeros(is_own_RTS.shape, dtype=dtype)
    bias_RTS.masked_fill_(~(is_context_R1S | is_own_RTS), -torch.inf)
    # Padding attends to the context: a row of only -inf would be NaN.
    return Block(query_RT, key_RS, bias_RTS[:, None], first_RT > 0)


def _padded(rows: Sequence[Tensor]) -> Tensor:
    return pad_sequence(list(rows), batch_first=True)
