"""From tokens to what is said: whole characters, nothing of a stop sequence, each token with its text. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.chat.protocol import TokenLogprob

UNDECODED = "�"
LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8, and so the most tokens that may still become one."""
PATIENCE = 64
"""Tokens without a whole character at their end after which the bytes are taken for what they look like."""

Decode = Callable[[list[int]], str]


class Detokenizer:
    """The text of tokens as they come, in whole characters.

    A token may be a part of a character, and the text of a token may depend on those before it. So the tokens since
    the last but one place where the text was whole are decoded again each time.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._boundary = 0
        self._shown = 0

    def push(self, token: int) -> str:
        """What has become readable."""
        self._ids.append(token)
        text = self._decode(self._ids)
        unsure = min(len(text) - len(text.rstrip(UNDECODED)), LONGEST_CHARACTER - 1)
        if len(self._ids) - self._boundary > PATIENCE:
            unsure = 0
        whole = max(self._shown, len(text) - unsure)
        new, self._shown = text[self._shown : whole], whole
        if unsure == 0:
            self._ids = self._ids[self._boundary :]
            self._boundary = len(self._ids)
            self._shown = len(self._decode(self._ids))
        return new

    def end(self) -> str:
        """What is left, readable or not."""
        left = self._decode(self._ids)[self._shown :]
        self._ids, self._boundary, self._shown = [], 0, 0
        return left


class Stops:
    """Holds back what may become a stop sequence; the text ends before the first that comes."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """What can be said now, and whether a stop sequence came, after which nothing is said any more."""
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            said, self._held = self._held[: min(found)], ""
            return said, True
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        said, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return said, False

    def end(self) -> str:
        """What was held back."""
        left, self._held = self._held, ""
        return left


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of the text that the stop sequence begins with."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


@dataclass(frozen=True, slots=True)
class TextPiece:
    """What comes out with a token. `logprobs` are of the tokens that have begun within what is said so far."""

    text: str
    logprobs: list[TokenLogprob]
    stopped: bool


class ChoiceText:
    """One completion on its way to its reader."""

    def __init__(self, decode: Decode, *, stops: Sequence[str]) -> None:
        self._unfolding = Detokenizer(decode)
        self._stops = Stops(stops)
        self._read = 0
        self._said = 0
        self._waiting: list[tuple[int, TokenLogprob]] = []

    def push(self, token: int, logprob: TokenLogprob | None) -> TextPiece:
        if logprob is not None:
            self._waiting.append((self._read, logprob))
        return self._say(self._unfolding.push(token), last=False)

    def end(self) -> TextPiece:
        """What is left when no token comes any more; a stop sequence may still be found in it."""
        return self._say(self._unfolding.end(), last=True)

    def _say(self, text: str, *, last: bool) -> TextPiece:
        self._read += len(text)
        said, stopped = self._stops.push(text)
        if last and not stopped:
            said += self._stops.end()
        self._said += len(said)
        whole = last and not stopped
        ready = [logprob for start, logprob in self._waiting if whole or start < self._said]
        self._waiting = [waiting for waiting in self._waiting if not (whole or waiting[0] < self._said)]
        return TextPiece(said, ready, stopped)
