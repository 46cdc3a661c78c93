"""OpenAI's chat response objects, built from the pieces of a response."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from backend.chat.protocol import Piece, PromptRead, RequestDone, TextDelta, TokenLogprob

Reason = Literal["stop", "length"]
UNDECODED = "�"
"""The replacement character, for bytes that are not a whole character."""


class Alternative(BaseModel):
    """A likely token; `bytes` is null where the token is part of a character."""

    token: str
    logprob: float
    bytes: list[int] | None


class LogprobToken(Alternative):
    top_logprobs: list[Alternative]


class Logprobs(BaseModel):
    content: list[LogprobToken] | None
    refusal: None = None


class CompletionUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    index: int
    message: AnswerMessage
    logprobs: Logprobs | None
    finish_reason: Reason


class ChatCompletion(BaseModel):
    """A chat completion; `created` is in Unix seconds. `usage` counts every sampled token, the end token included."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage
    system_fingerprint: None = None


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    index: int
    delta: Delta
    logprobs: Logprobs | None = None
    finish_reason: Reason | None = None


class Chunk(BaseModel):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: None = None
    usage: CompletionUsage | None = None

    def as_data(self, *, with_usage: bool) -> str:
        """Return JSON without the unset fields of a delta, and without `usage` unless it was requested."""
        values = self.model_dump(mode="json")
        for choice in values["choices"]:
            choice["delta"] = {name: value for name, value in choice["delta"].items() if value is not None}
        if not with_usage:
            del values["usage"]
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The fields shared by all objects of one response."""

    id: str
    created: int
    model: str
    n: int


@dataclass(slots=True)
class WholeResponse:
    """A non-streamed response, collected piece by piece."""

    head: ResponseHead
    prompt_tokens: int = 0
    texts: dict[int, str] = field(default_factory=dict)
    logprobs: dict[int, list[TokenLogprob]] = field(default_factory=dict)
    reasons: dict[int, Reason] = field(default_factory=dict)

    def add(self, piece: Piece) -> ChatCompletion | None:
        """Add a piece. Returns the completion with the last one."""
        match piece:
            case PromptRead(prompt_tokens):
                self.prompt_tokens = prompt_tokens
            case TextDelta(choice, text, logprobs, reason):
                self.texts[choice] = self.texts.get(choice, "") + text
                if logprobs is not None:
                    self.logprobs.setdefault(choice, []).extend(logprobs)
                if reason is not None:
                    self.reasons[choice] = _reason(reason)
            case RequestDone(completion_tokens):
                return self._whole(completion_tokens)
        return None

    def _whole(self, completion_tokens: int) -> ChatCompletion:
        head = self.head
        return ChatCompletion(
            id=head.id,
            created=head.created,
            model=head.model,
            choices=[
                Choice(
                    index=choice,
                    message=AnswerMessage(content=self.texts.get(choice, "")),
                    logprobs=logprobs_object(self.logprobs.get(choice)),
                    finish_reason=self.reasons[choice],
                )
                for choice in range(head.n)
            ],
            usage=_usage(self.prompt_tokens, completion_tokens),
        )


@dataclass(slots=True)
class StreamedResponse:
    """A streamed response: chunks with the role of each choice, its text, its finish reason and, on request, usage."""

    head: ResponseHead
    with_usage: bool
    prompt_tokens: int = 0

    def chunks(self, piece: Piece) -> Iterator[Chunk]:
        match piece:
            case PromptRead(prompt_tokens):
                self.prompt_tokens = prompt_tokens
                for choice in range(self.head.n):
                    yield self._chunk(ChunkChoice(index=choice, delta=Delta(role="assistant", content="")))
            case TextDelta(choice, text, logprobs, reason):
                if text or logprobs:
                    delta = Delta(content=text)
                    yield self._chunk(ChunkChoice(index=choice, delta=delta, logprobs=logprobs_object(logprobs)))
                if reason is not None:
                    yield self._chunk(ChunkChoice(index=choice, delta=Delta(), finish_reason=_reason(reason)))
            case RequestDone(completion_tokens) if self.with_usage:
                yield self._chunk(usage=_usage(self.prompt_tokens, completion_tokens))

    def _chunk(self, *choices: ChunkChoice, usage: CompletionUsage | None = None) -> Chunk:
        head = self.head
        return Chunk(id=head.id, created=head.created, model=head.model, choices=list(choices), usage=usage)


def logprobs_object(tokens: Sequence[TokenLogprob] | None) -> Logprobs | None:
    if tokens is None:
        return None
    return Logprobs(
        content=[
            LogprobToken(
                token=each.token,
                logprob=each.logprob,
                bytes=_bytes(each.token),
                top_logprobs=[
                    Alternative(token=token, logprob=logprob, bytes=_bytes(token)) for token, logprob in each.top
                ],
            )
            for each in tokens
        ]
    )


def _bytes(token: str) -> list[int] | None:
    return None if UNDECODED in token else list(token.encode())


def _usage(prompt_tokens: int, completion_tokens: int) -> CompletionUsage:
    return CompletionUsage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
    )


def _reason(reason: str) -> Reason:
    return "length" if reason == "length" else "stop"
