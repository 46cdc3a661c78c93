"""The messages between API and chat servers: a request, and the pieces of its response. Sent as JSON."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from backend.errors import AppError


@dataclass(frozen=True, slots=True)
class AdapterRef:
    """A stored adapter: the archive of a finished job, or a checkpoint with its rank and alpha."""

    sha256: str
    kind: str
    """"archive" or "checkpoint"."""
    r: int = 0
    alpha: float = 0.0


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request, validated as far as possible without the model."""

    id: str
    project: str
    model: str
    """The requested name, under which usage is recorded."""
    base: str
    adapter: AdapterRef | None
    messages: list[dict[str, Any]]
    max_tokens: int | None
    temperature: float
    top_p: float
    n: int
    stop: list[str]
    skip_special_tokens: bool
    seed: int | None
    top_logprobs: int | None
    """None: no log-probabilities."""
    fold_system: bool = False
    """Put system messages into the user message after them, as in the training of the model."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "ChatRequest":
        values = json.loads(text)
        adapter = values.pop("adapter")
        return cls(**values, adapter=None if adapter is None else AdapterRef(**adapter))


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token as text, with its log-probability; `top` are the most likely tokens at its position."""

    token: str
    logprob: float
    top: list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class RequestTaken:
    """A server has taken the request. It may have to load the model before `PromptRead`."""

    server: str


@dataclass(frozen=True, slots=True)
class PromptRead:
    """The prompt has been processed; from here on only the server's end can fail the request."""

    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New text of a choice, in whole characters, with its tokens if log-probabilities were requested."""

    choice: int
    text: str
    logprobs: list[TokenLogprob] | None = None
    finish_reason: str | None = None
    """"stop" or "length" in the last delta of a choice."""


@dataclass(frozen=True, slots=True)
class RequestDone:
    """All choices have ended."""

    completion_tokens: int


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """The request has failed; no more pieces follow."""

    message: str
    status: int
    code: str | None
    param: str | None

    def as_error(self) -> AppError:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return AppError(self.message, status=self.status, code=self.code, param=self.param, type=kind)


Piece = RequestTaken | PromptRead | TextDelta | RequestDone | RequestRefused
KINDS: dict[str, type[Piece]] = {
    "taken": RequestTaken,
    "begun": PromptRead,
    "text": TextDelta,
    "done": RequestDone,
    "refused": RequestRefused,
}
NAMES = {kind: name for name, kind in KINDS.items()}
FINAL_PIECES = (RequestDone, RequestRefused)
"""The pieces that end a response."""


def piece_to_json(piece: Piece) -> str:
    return json.dumps({"kind": NAMES[type(piece)], **asdict(piece)})


def piece_from_json(text: str | bytes) -> Piece:
    values = json.loads(text)
    kind = KINDS[values.pop("kind")]
    if kind is TextDelta and values["logprobs"] is not None:
        values["logprobs"] = [
            TokenLogprob(each["token"], each["logprob"], [(token, logprob) for token, logprob in each["top"]])
            for each in values["logprobs"]
        ]
    return kind(**values)
