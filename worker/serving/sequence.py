"""One request being answered: its sequences in the batch, and the response pieces of their tokens."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from backend.chat.protocol import ChatRequest, Piece, RequestDone, TextDelta, TokenLogprob
from worker.engine.model.completion_text import CompletionDecoder
from worker.engine.rollouts.prompts import Context
from worker.serving.batch import SampledToken, SequenceSlot
from worker.serving.choice_text import ChoiceText, TextPiece

SEED_BITS = 128


@dataclass(slots=True)
class SequenceChoice:
    """One choice of a response."""

    index: int
    text: ChoiceText
    tokens: int = 0


@dataclass(slots=True)
class SequenceGroup:
    """A request with its built prompt. Finished sequences are removed from `choices`."""

    request: ChatRequest
    decoder: CompletionDecoder
    context: Context
    max_tokens: int
    """Completion tokens per choice."""
    choices: dict[SequenceSlot, SequenceChoice] = field(default_factory=dict)
    completion_tokens: int = 0

    @property
    def adapter(self) -> str | None:
        """Name of its adapter on the base model."""
        return None if self.request.adapter is None else self.request.adapter.sha256

    @property
    def max_length(self) -> int:
        """Maximum tokens of one of its rows, prompt included."""
        return len(self.context.ids) + self.max_tokens

    @property
    def is_finished(self) -> bool:
        return not self.choices

    def start(self) -> list[SequenceSlot]:
        """Create the sequences to add to the batch."""
        request = self.request
        seed = secrets.randbits(SEED_BITS) if request.seed is None else request.seed
        for choice in range(request.n):
            slot = SequenceSlot(
                context=self.context,
                adapter=self.adapter,
                temperature=request.temperature,
                top_p=request.top_p,
                top_logprobs=request.top_logprobs,
                rng=Random(f"{seed}/{choice}"),  # noqa: S311 - not a secret: a seed must give the same again
            )
            self.choices[slot] = SequenceChoice(choice, ChoiceText(self.decoder.stream(), stops=request.stop))
        return list(self.choices)

    def append_token(self, sampled: SampledToken) -> list[Piece]:
        """Append a token to its sequence and return the new response pieces."""
        choice = self.choices[sampled.slot]
        choice.tokens += 1
        self.completion_tokens += 1
        if sampled.ends:
            return self._finish(sampled.slot, "stop", [choice.text.end()])
        piece = choice.text.push(sampled.token, self._logprob(sampled))
        if piece.stopped:
            return self._finish(sampled.slot, "stop", [piece])
        if choice.tokens == self.max_tokens:
            rest = choice.text.end()
            return self._finish(sampled.slot, "stop" if rest.stopped else "length", [piece, rest])
        return [self._piece(choice, piece)] if piece.text or piece.logprobs else []

    def _finish(self, slot: SequenceSlot, reason: str, pieces: Sequence[TextPiece]) -> list[Piece]:
        choice = self.choices.pop(slot)
        whole = TextPiece(
            "".join(piece.text for piece in pieces), [token for piece in pieces for token in piece.logprobs], True
        )
        last: list[Piece] = [self._piece(choice, whole, reason=reason)]
        return last + ([RequestDone(self.completion_tokens)] if self.is_finished else [])

    def _piece(self, choice: SequenceChoice, piece: TextPiece, *, reason: str | None = None) -> TextDelta:
        wanted = self.request.top_logprobs is not None
        return TextDelta(choice.index, piece.text, piece.logprobs if wanted else None, reason)

    def _logprob(self, sampled: SampledToken) -> TokenLogprob | None:
        if sampled.logprob is None:
            return None
        top = [(self.decoder.name(token), logprob) for token, logprob in sampled.alternatives]
        return TokenLogprob(self.decoder.name(sampled.token), sampled.logprob, top)
