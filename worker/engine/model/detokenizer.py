"""Incremental detokenization: whole characters, however tokens divide them. Pure."""

from collections.abc import Callable, Set

UNDECODED = "�"
LONGEST_CHARACTER = 4
"""Bytes of a UTF-8 character, hence the most tokens that can form one."""
MAX_UNDECODED_TOKENS = 64
"""Tokens without a complete final character after which the bytes are emitted as they decode."""

Decode = Callable[[list[int]], str]


class Detokenizer:
    """Decodes a stream of tokens into whole characters.

    A token may be part of a character, and its text may depend on the tokens before it. So each push decodes again
    from the second-last position at which the text was complete. Tokens in `silent_ids` have no text and are no such
    position: behind one, the text would decode without what precedes it.
    """

    def __init__(self, decode: Decode, *, silent_ids: Set[int] = frozenset()) -> None:
        self._decode = decode
        self._silent_ids = silent_ids
        self._ids: list[int] = []
        self._boundary = 0
        self._emitted = 0

    def push(self, token: int) -> str:
        """Add a token; returns the newly complete text."""
        if token in self._silent_ids:
            return ""
        self._ids.append(token)
        text = self._decode(self._ids)
        incomplete = min(len(text) - len(text.rstrip(UNDECODED)), LONGEST_CHARACTER - 1)
        if len(self._ids) - self._boundary > MAX_UNDECODED_TOKENS:
            incomplete = 0
        whole = max(self._emitted, len(text) - incomplete)
        new, self._emitted = text[self._emitted : whole], whole
        if incomplete == 0:
            self._ids = self._ids[self._boundary :]
            self._boundary = len(self._ids)
            self._emitted = len(self._decode(self._ids))
        return new

    def end(self) -> str:
        """Return the remaining text, complete or not."""
        left = self._decode(self._ids)[self._emitted :]
        self._ids, self._boundary, self._emitted = [], 0, 0
        return left
