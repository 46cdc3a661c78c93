"""One request being answered: its turns in the engine's batch, and what comes of their tokens."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from backend.chat.protocol import ChatRequest, Piece, RequestDone, TextDelta, TokenLogprob
from worker.engine.rollouts.prompts import Context
from worker.serving.batch import SampledToken, SequenceSlot
from worker.serving.detokenizer import ChoiceText, TextPiece

SEED_BITS = 128


@dataclass(slots=True)
class SequenceChoice:
    """One choice of an answer."""

    choice: int
    wording: ChoiceText
    tokens: int = 0


@dataclass(slots=True)
class SequenceGroup:
    """A request whose prompt has been laid out. Turns leave `voices` as they end."""

    asked: ChatRequest
    tokenizer: Any
    context: Context
    most_tokens: int
    """That a choice may have."""
    voices: dict[SequenceSlot, SequenceChoice] = field(default_factory=dict)
    completion_tokens: int = 0

    @property
    def adapter(self) -> str | None:
        """The name of its adapter on the base."""
        return None if self.asked.adapter is None else self.asked.adapter.sha256

    @property
    def width(self) -> int:
        """The most tokens that a row of it can come to hold."""
        return len(self.context.ids) + self.most_tokens

    @property
    def has_ended(self) -> bool:
        return not self.voices

    def begin(self) -> list[SequenceSlot]:
        """The turns that the batch is to take."""
        asked = self.asked
        seed = secrets.randbits(SEED_BITS) if asked.seed is None else asked.seed
        for choice in range(asked.n):
            turn = SequenceSlot(
                context=self.context,
                adapter=self.adapter,
                temperature=asked.temperature,
                top_p=asked.top_p,
                top_logprobs=asked.top_logprobs,
                chance=Random(f"{seed}/{choice}"),  # noqa: S311 - not a secret: a seed must give the same again
            )
            self.voices[turn] = SequenceChoice(choice, ChoiceText(self._text_of, stops=asked.stop))
        return list(self.voices)

    def hear(self, drawn: SampledToken) -> list[Piece]:
        """What is to be said now that a turn has another token."""
        voice = self.voices[drawn.turn]
        voice.tokens += 1
        self.completion_tokens += 1
        if drawn.ends:
            return self._ended(drawn.turn, "stop", [voice.wording.end()])
        said = voice.wording.push(drawn.token, self._logprob(drawn))
        if said.stopped:
            return self._ended(drawn.turn, "stop", [said])
        if voice.tokens == self.most_tokens:
            rest = voice.wording.end()
            return self._ended(drawn.turn, "stop" if rest.stopped else "length", [said, rest])
        return [self._piece(voice, said)] if said.text or said.logprobs else []

    def _ended(self, turn: SequenceSlot, reason: str, said: Sequence[TextPiece]) -> list[Piece]:
        voice = self.voices.pop(turn)
        whole = TextPiece(
            "".join(each.text for each in said), [token for each in said for token in each.logprobs], True
        )
        last: list[Piece] = [self._piece(voice, whole, reason=reason)]
        return last + ([RequestDone(self.completion_tokens)] if self.has_ended else [])

    def _piece(self, voice: SequenceChoice, said: TextPiece, *, reason: str | None = None) -> TextDelta:
        wanted = self.asked.top_logprobs is not None
        return TextDelta(voice.choice, said.text, said.logprobs if wanted else None, reason)

    def _logprob(self, drawn: SampledToken) -> TokenLogprob | None:
        if drawn.logprob is None:
            return None
        top = [(self._name_of(token), logprob) for token, logprob in drawn.alternatives]
        return TokenLogprob(self._name_of(drawn.token), drawn.logprob, top)

    def _text_of(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _name_of(self, token: int) -> str:
        return str(self.tokenizer.decode([token], clean_up_tokenization_spaces=False))
