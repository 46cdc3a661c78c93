"""Incremental detokenization: whole characters, stop sequences held back, log-probabilities per token. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.chat.protocol import TokenLogprob

UNDECODED = "�"
LONGEST_CHARACTER = 4
"""Bytes of a UTF-8 character, hence the most tokens that can form one."""
MAX_UNDECODED_TOKENS = 64
"""Tokens without a complete final character after which the bytes are emitted as they decode."""

Decode = Callable[[list[int]], str]


class Detokenizer:
    """Decodes a stream of tokens into whole characters.

    A token may be part of a character, and its text may depend on the tokens before it. So each push decodes again
    from the second-last position at which the text was complete.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._boundary = 0
        self._emitted = 0

    def push(self, token: int) -> str:
        """Add a token; returns the newly complete text."""
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


class Stops:
    """Holds back text that may become a stop sequence, and cuts before the first one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Return the text to release, and whether a stop sequence was found (the text ends there)."""
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            released, self._held = self._held[: min(found)], ""
            return released, True
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        released, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return released, False

    def end(self) -> str:
        """Return the text held back."""
        left, self._held = self._held, ""
        return left


def _overlap(text: str, stop: str) -> int:
    """Length of the longest suffix of the text that is a proper prefix of the stop sequence."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text released with a token. `logprobs` are of the tokens that start within the text released so far."""

    text: str
    logprobs: list[TokenLogprob]
    stopped: bool


class ChoiceText:
    """The text of one completion as it is streamed."""

    def __init__(self, decode: Decode, *, stops: Sequence[str]) -> None:
        self._detokenizer = Detokenizer(decode)
        self._stops = Stops(stops)
        self._decoded = 0
        self._released = 0
        self._pending: list[tuple[int, TokenLogprob]] = []

    def push(self, token: int, logprob: TokenLogprob | None) -> TextPiece:
        if logprob is not None:
            self._pending.append((self._decoded, logprob))
        return self._release(self._detokenizer.push(token), last=False)

    def end(self) -> TextPiece:
        """Return the rest after the last token; it may still contain a stop sequence."""
        return self._release(self._detokenizer.end(), last=True)

    def _release(self, text: str, *, last: bool) -> TextPiece:
        self._decoded += len(text)
        released, stopped = self._stops.push(text)
        if last and not stopped:
            released += self._stops.end()
        self._released += len(released)
        whole = last and not stopped
        ready = [logprob for start, logprob in self._pending if whole or start < self._released]
        self._pending = [pending for pending in self._pending if not (whole or pending[0] < self._released)]
        return TextPiece(released, ready, stopped)
