"""The text of one choice as it is streamed: stop sequences held back, log-probabilities per token. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.chat.protocol import TokenLogprob
from worker.engine.model.detokenizer import Detokenizer


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

    def __init__(self, detokenizer: Detokenizer, *, stops: Sequence[str]) -> None:
        self._detokenizer = detokenizer
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
