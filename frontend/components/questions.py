"""Questions in the API's format, with images: from own text or from a dataset row. Pure."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from frontend.api.types import FileRow, Json
from frontend.components.row_view import right_answer

NO_TOOLS = "Models are asked without tools here: choose rows that have neither tools nor calls of them."
SEPARATOR = "\n\n"
"""After an instruction before a question's own system message, as in training."""
SIGNATURES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}


@dataclass(frozen=True, slots=True)
class Question:
    """A question. `item` and `answer` are passed to a verifier with the text that it scores."""

    messages: list[Json]
    item: Json
    answer: str | list[str] | None

    def prompt(self, *, instruction: str) -> Json:
        """Return the part of a chat request's body that asks it, under the instruction of a trained model's job."""
        return {"messages": instructed(self.messages, instruction=instruction)}


def data_url(image: bytes) -> str:
    """Return the image as a data URL. An unknown format is sent as PNG, which the service refuses."""
    kind = next((kind for start, kind in SIGNATURES.items() if image.startswith(start)), "png")
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def own(text: str, *, system: str, answer: str | None, images: Sequence[bytes]) -> Question:
    parts: list[Json] = [_image(image) for image in images] + [{"type": "text", "text": text}]
    messages: list[Json] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": parts if images else text})
    item = {"question": text} | ({"answer": answer} if answer else {})
    return Question(messages, item, answer)


def instructed(messages: Sequence[Json], *, instruction: str) -> list[Json]:
    """Put the instruction of a trained model's job before the messages, as in training."""
    if not instruction:
        return list(messages)
    if messages and messages[0]["role"] in ("system", "developer"):
        first, *others = messages
        own = first["content"]
        told = instruction + SEPARATOR
        content = told + own if isinstance(own, str) else [{"type": "text", "text": told}, *own]
        return [{**first, "content": content}, *others]
    return [{"role": "system", "content": instruction}, *messages]


def uses_tools(row: FileRow) -> bool:
    """Return whether a row has tools, calls of them or their answers, which chat requests cannot have."""
    return bool(row["tools"]) or any(
        message.get("tool_calls") or message["role"] == "tool" for message in row["messages"]
    )


def of_row(row: FileRow, *, image: Callable[[str], bytes]) -> Question:
    """Build the question as in training. `image`: bytes by SHA-256; the n-th image part is the row's n-th image."""
    hashes = iter(row["images"])

    def part(given: Any) -> Json:
        if isinstance(given, dict) and given.get("type") == "image":
            return _image(image(next(hashes)))
        return {"type": "text", "text": str(given.get("text", "")) if isinstance(given, dict) else str(given)}

    def content(given: Any) -> Any:
        return [part(each) for each in given] if isinstance(given, list) else given

    messages = [{**message, "content": content(message["content"])} for message in row["messages"]]
    return Question(messages, row["item"], right_answer(row))


def _image(content: bytes) -> Json:
    return {"type": "image_url", "image_url": {"url": data_url(content)}}
