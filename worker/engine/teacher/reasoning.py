"""The end of a completion's reasoning, found in its decoded text: the tokens of a marker depend on its surroundings."""

from typing import Protocol

from torch import Tensor


class Decoder(Protocol):
    """The part of a tokenizer that is needed here."""

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> str:
        """Convert token ids to text."""


def reasoning_mask(completion_ids_BT: Tensor, mask_BT: Tensor, *, decoder: Decoder, end: str) -> Tensor:
    """Return a mask up to and including the token that completes `end`, `[B, T]`; all tokens if `end` is missing."""
    found_BT = mask_BT.clone()
    for b, (ids, length) in enumerate(zip(completion_ids_BT.tolist(), mask_BT.sum(1).tolist(), strict=True)):
        found_BT[b, _tokens_until(ids[:length], decoder=decoder, end=end) :] = False
    return found_BT


def _tokens_until(ids: list[int], *, decoder: Decoder, end: str) -> int:
    """Find the least number of tokens whose text contains `end`, or all. Bisection: longer prefixes only add text."""

    def contains_end(count: int) -> bool:
        return end in decoder.decode(ids[:count], skip_special_tokens=False)

    if not contains_end(len(ids)):
        return len(ids)
    low, high = 0, len(ids)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if contains_end(middle) else (middle, high)
    return high
