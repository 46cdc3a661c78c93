"""`/v1/chat/completions` as a stream, and what is asked around it."""

import json
from collections.abc import Generator
from contextlib import closing
from typing import Any, TypedDict, cast

from frontend.api.http import Wire
from frontend.api.types import Json, ScoreRecord


class AnswerPiece(TypedDict):
    """More of an answer; `finish_reason` (stop, length) with its last piece, `tokens` where they have been counted."""

    text: str
    finish_reason: str | None
    tokens: int | None


class Chat(Wire):
    """Asking models, and having their answers scored."""

    def answer(self, body: Json) -> Generator[AnswerPiece]:
        """The answer in pieces as they are written: body without `stream`. An ApiError may also come half-way.

        Closing the iterator withdraws the question.
        """
        asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
        with closing(self.stream_events("POST", "/v1/chat/completions", json=asked)) as events:
            for data in events:
                if data == "[DONE]":
                    return
                yield _piece(json.loads(data))

    def score_texts(self, grader: Json, *, item: Json, answer: str | None, texts: list[str]) -> list[ScoreRecord]:
        """The verdict on each text as an answer to this row, by a verifier that need not be saved."""
        samples = [{"item": item, "answer": answer, "output_text": text} for text in texts]
        body = {"grader": grader, "samples": samples}
        return cast("list[ScoreRecord]", self.call("POST", "/v1/verifiers/test", json=body)["records"])


def _piece(chunk: Any) -> AnswerPiece:
    """From a chunk in OpenAI's shape; the last one has no choice but the usage."""
    choice = chunk["choices"][0] if chunk["choices"] else {"delta": {}, "finish_reason": None}
    usage = chunk.get("usage") or {}
    return {
        "text": choice["delta"].get("content") or "",
        "finish_reason": choice["finish_reason"],
        "tokens": usage.get("completion_tokens"),
    }
