"""The end of a completion's reasoning, found in its decoded text: the tokens of a marker depend on its surroundings."""

from collections.abc import Callable, Sequence

from torch import Tensor

Decode = Callable[[Sequence[int]], str]


def reasoning_mask(completion_ids_BT: Tensor, mask_BT: Tensor, *, decode: Decode, end: str) -> Tensor:
    """Return a mask up to and including the token that completes `end`, `[B, T]`; all tokens if `end` is missing."""
    found_BT = mask_BT.clone()
    for b, (ids, length) in enumerate(zip(completion_ids_BT.tolist(), mask_BT.sum(1).tolist(), strict=True)):
        found_BT[b, _tokens_until(ids[:length], decode=decode, end=end) :] = False
    return found_BT


def _tokens_until(ids: list[int], *, decode: Decode, end: str) -> int:
    """Find the least number of tokens whose text contains `end`, or all. Bisection: longer prefixes only add text."""

    def contains_end(count: int) -> bool:
        return end in decode(ids[:count])

    if not contains_end(len(ids)):
        return len(ids)
    low, high = 0, len(ids)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if contains_end(middle) else (middle, high)
    return high
