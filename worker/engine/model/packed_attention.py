"""Owns which tokens of a packed row attend together (`packing.py`): rows of queries beside rows of the keys they see.

Keys are copied out of the row into blocks, and kept for the backward pass. So that memory follows from the tokens of
the row, however many completions share a context, completions of one context are attended in bundles about as long as
it, against one copy of its keys, and rows of attention stand side by side only with others of alike width. For a
context of `L` tokens with `W` tokens of completions that is fewer than `2 (2 L + 3 W)` copied keys, widths rounded up.
A bundle costs less than twice the products that its completions would cost one by one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

ALIKE = 2
"""Rows stand side by side where the widest is at most so many times as wide as the narrowest."""
ALIGNED = 16
"""Masks are a multiple of this wide: a kernel on a GPU would otherwise copy them in every layer."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Completions of one context that look at one copy of its keys."""

    context: range
    """Places of the context's tokens in the packed row."""
    completions: tuple[range, ...]
    """The same of each completion: none is empty, and each begins where the one before it ends."""

    @property
    def queries(self) -> range:
        return range(self.completions[0].start, self.completions[-1].stop)

    @property
    def num_keys(self) -> int:
        return len(self.context) + len(self.queries)


@dataclass(frozen=True, slots=True)
class Block:
    """`R` rows of attention that are computed at once. `T` queries and `S` keys at most; padding is place 0."""

    query_RT: Tensor
    """Places of the tokens that look."""
    key_RS: Tensor
    """Places of the tokens that are looked at."""
    bias_R1TS: Tensor | None
    """0 where a token may look, -inf where not. None: at itself and at whatever stands before it."""
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


def bundled(context: range, completions: Sequence[range]) -> list[Bundle]:
    """Bundles of completions that follow one another: together no longer than their context, or one alone."""
    bundles: list[list[range]] = []
    for completion in completions:
        if not completion:
            continue
        if bundles and completion.stop - bundles[-1][0].start <= len(context):
            bundles[-1].append(completion)
        else:
            bundles.append([completion])
    return [Bundle(context, tuple(bundle)) for bundle in bundles]


def blocks_of(contexts: Sequence[range], bundles: Sequence[Bundle], *, dtype: torch.dtype) -> list[Block]:
    """Everything a packed row attends: contexts each to itself, bundles to their contexts and themselves."""
    return [
        *(_context_block(alike) for alike in _alike(contexts, width=len)),
        *(_bundle_block(alike, dtype=dtype) for alike in _alike(bundles, width=lambda bundle: bundle.num_keys)),
    ]


def _alike(rows: Sequence[Row], *, width: Callable[[Row], int]) -> Iterator[list[Row]]:
    """Rows of alike width together, the widest first."""
    alike: list[Row] = []
    for row in sorted(rows, key=width, reverse=True):
        if alike and ALIKE * width(row) < width(alike[0]):
            yield alike
            alike = []
        alike.append(row)
    if alike:
        yield alike


def _context_block(contexts: Sequence[range]) -> Block:
    place_RL = _padded([torch.tensor(context) for context in contexts])
    lengths_R1 = torch.tensor([[len(context)] for context in contexts])
    return Block(place_RL, place_RL, None, torch.arange(place_RL.shape[1]) < lengths_R1)


def _bundle_block(bundles: Sequence[Bundle], *, dtype: torch.dtype) -> Block:
    query_RT = _padded([torch.tensor(bundle.queries) for bundle in bundles])
    key_RS = _padded([torch.tensor([*bundle.context, *bundle.queries]) for bundle in bundles])
    key_RS = pad(key_RS, (0, -key_RS.shape[1] % ALIGNED))
    # Where the completion of each query begins.
    first_RT = _padded([torch.tensor([c.start for c in bundle.completions for _ in c]) for bundle in bundles])
    lengths_R1 = torch.tensor([[len(bundle.context)] for bundle in bundles])
    is_context_R1S = (torch.arange(key_RS.shape[1]) < lengths_R1)[:, None]
    is_written_RTS = (first_RT[:, :, None] <= key_RS[:, None]) & (key_RS[:, None] <= query_RT[:, :, None])
    bias_RTS = torch.zeros(is_written_RTS.shape, dtype=dtype)
    bias_RTS.masked_fill_(~(is_context_R1S | is_written_RTS), -torch.inf)
    # Padding looks at the context, for a row of -inf alone would be NaN.
    return Block(query_RT, key_RS, bias_RTS[:, None], first_RT > 0)


def _padded(rows: Sequence[Tensor]) -> Tensor:
    return pad_sequence(list(rows), batch_first=True)
