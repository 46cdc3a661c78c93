"""Owns where a completion's reasoning ends, found in its decoded text: token patterns differ with what is around."""

from typing import Protocol

from torch import Tensor


class Decoder(Protocol):
    """The part of a tokenizer that is needed here."""

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> str:
        """The text of token ids."""


def reasoning_mask(completion_ids_BT: Tensor, mask_BT: Tensor, *, decoder: Decoder, end: str) -> Tensor:
    """True up to and including the token that completes `end`, `[B, T]`; everywhere in a completion without it."""
    found_BT = mask_BT.clone()
    for b, (ids, length) in enumerate(zip(completion_ids_BT.tolist(), mask_BT.sum(1).tolist(), strict=True)):
        found_BT[b, _tokens_until(ids[:length], decoder=decoder, end=end) :] = False
    return found_BT


def _tokens_until(ids: list[int], *, decoder: Decoder, end: str) -> int:
    """The least number of tokens whose text holds `end`, or all. By halving: longer prefixes only add text."""

    def holds(count: int) -> bool:
        return end in decoder.decode(ids[:count], skip_special_tokens=False)

    if not holds(len(ids)):
        return len(ids)
    low, high = 0, len(ids)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
