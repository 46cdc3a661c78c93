"""`/v1/chat/completions` as a stream, and scoring of the answers."""

import json
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import cast

from frontend.api.http import Wire
from frontend.api.types import Chunk, Json, ScoreRecordObject


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """A piece of an answer. `finish_reason` (stop, length) comes with the last piece, `tokens` with the usage."""

    text: str
    finish_reason: str | None
    tokens: int | None


class Chat(Wire):
    """Chat completions and scores of their texts."""

    def answer(self, body: Json) -> Generator[AnswerPiece]:
        """Stream an answer in pieces; `body` without `stream`. An ApiError may also be raised half-way.

        Closing the iterator cancels the request.
        """
        request = {**body, "stream": True, "stream_options": {"include_usage": True}}
        with closing(self.stream_events("POST", "/v1/chat/completions", json=request)) as events:
            for data in events:
                if data == "[DONE]":
                    return
                yield _piece(json.loads(data))

    def score_texts(
        self, grader: Json, *, item: Json, answer: str | list[str] | None, texts: list[str]
    ) -> list[ScoreRecordObject]:
        """Score each text as an answer to this row, by a verifier that need not be saved."""
        samples = [{"item": item, "answer": answer, "output_text": text} for text in texts]
        body = {"grader": grader, "samples": samples}
        return cast("list[ScoreRecordObject]", self.call("POST", "/v1/verifiers/test", json=body)["records"])


def _piece(chunk: Chunk) -> AnswerPiece:
    """Convert a chunk in OpenAI's format; the last one has no choice, only the usage."""
    usage = chunk.get("usage")
    tokens = None if usage is None else usage["completion_tokens"]
    if not chunk["choices"]:
        return AnswerPiece("", None, tokens)
    choice = chunk["choices"][0]
    return AnswerPiece(choice["delta"].get("content") or "", choice.get("finish_reason"), tokens)
