"""A row's question as chat messages, its images named in the order in which they are shown.

In the normal form a message's content is a text, or a list of the parts `{"type": "text", "text": ...}` and
`{"type": "image"}`; the n-th image part of a row shows the n-th of its images. Images stand in the messages themselves
(`image_url` as in OpenAI's chat, `input_image` as in its responses, `image`), or in a column beside them; then image
parts without an address, or the word `<image>`, give them their places, and without any they are shown first.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from backend.datasets.formats.json_lines import BadLineError
from backend.datasets.rows.recognise import IMAGE_COLUMNS, Shape, value_at

ROLES = ("system", "developer", "user", "assistant", "tool")
TEXT_PARTS = ("text", "input_text", "output_text")
IMAGE_PARTS = ("image_url", "image", "input_image")
PLACEHOLDER = "<image>"
INSTRUCTIONS = "responses_create_params.instructions"
"""Where a request in the form of OpenAI's responses keeps its system message."""

Message = dict[str, Any]


class ImageKeeper(Protocol):
    """Keeps an image that a row holds or names, and tells what it is known by."""

    def keep(self, value: Any, *, where: str) -> str: ...


def messages_of(item: Mapping[str, Any], *, shape: Shape) -> list[Message]:
    """The question as the row has it; a text is one message of the user's. Raises BadLineError."""
    messages = _messages(value_at(item, shape.question), column=shape.question)
    instructions = value_at(item, INSTRUCTIONS)
    if shape.question.startswith(INSTRUCTIONS.partition(".")[0]) and isinstance(instructions, str) and instructions:
        return [{"role": "system", "content": instructions}, *messages]
    return messages


def with_images(
    messages: list[Message], item: Mapping[str, Any], *, shape: Shape, pictures: ImageKeeper
) -> tuple[list[Message], tuple[str, ...]]:
    """(messages with places for the row's images, SHA-256 of these in order). Raises BadLineError."""
    column, beside = _beside(item, shape)
    if not beside and all(isinstance(message["content"], str) for message in messages):
        return messages, ()
    return _Placing(beside, column=column, pictures=pictures).placed(messages)


def _messages(value: Any, *, column: str) -> list[Message]:
    if value is None:
        raise BadLineError("missing_question", f"has no '{column}'")
    if isinstance(value, str):
        if not value.strip():
            raise BadLineError("empty_question", f"has an empty '{column}'")
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise BadLineError("invalid_messages", f"needs a text or a list of messages in '{column}'")
    for place, message in enumerate(value):
        _check_message(message, where=f"{column}[{place}]")
    if value[-1]["role"] != "user":
        raise BadLineError(
            "last_message_not_user", f"ends '{column}' with a message of role '{value[-1]['role']}': it must be 'user'"
        )
    return value


def _check_message(message: object, *, where: str) -> None:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadLineError("invalid_messages", f"needs an object with 'role' and 'content' at {where}")
    if message["role"] not in ROLES:
        raise BadLineError(
            "invalid_messages", f"has the role '{message['role']:.40}' at {where}: use one of {', '.join(ROLES)}"
        )
    content = message.get("content")
    if isinstance(content, str):
        if not content.strip() and message["role"] == "user":
            raise BadLineError("empty_question", f"has an empty content at {where}")
        return
    if not isinstance(content, list) or not content:
        raise BadLineError("invalid_messages", f"needs a text in {where}.content")
    for place, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in IMAGE_PARTS and (kind not in TEXT_PARTS or not isinstance(part.get("text"), str)):
            raise BadLineError("invalid_messages", f"needs a text or an image at {where}.content[{place}]")


def _beside(item: Mapping[str, Any], shape: Shape) -> tuple[str, list[Any]]:
    """(column, images in it): the column that was named, or the first known one that the row fills."""
    for column in IMAGE_COLUMNS if shape.images is None else (shape.images,):
        value = value_at(item, column)
        if value is not None and value not in ("", [], {}):
            return column, value if isinstance(value, list) else [value]
    return "", []


class _Placing:
    """Gives each image of one row its place, and counts that none is left or lacking."""

    def __init__(self, beside: list[Any], *, column: str, pictures: ImageKeeper) -> None:
        self.beside = [pictures.keep(value, where=f"in {column}[{n}]") for n, value in enumerate(beside)]
        self.column = column
        self.pictures = pictures
        self.waiting = list(reversed(self.beside))
        self.shown: list[str] = []
        self.literal = False

    def placed(self, messages: list[Message]) -> tuple[list[Message], tuple[str, ...]]:
        placed = [message | {"content": self._content(message["content"])} for message in messages]
        if self.literal and self.shown:
            raise BadLineError(
                "image_count", f"has the word {PLACEHOLDER} beside images that stand in the messages themselves"
            )
        if self.waiting and self.shown:
            raise BadLineError(
                "image_count",
                f"has {len(self.beside)} images in '{self.column}', and no place for {len(self.waiting)} of them",
            )
        if self.waiting:
            _show_first(placed, count=len(self.beside))
        return placed, tuple(self.shown or self.beside)

    def _content(self, content: str | list[Any]) -> str | list[dict[str, str]]:
        whole = [{"type": "text", "text": content}] if isinstance(content, str) else content
        parts = [new for part in whole for new in self._parts(part)]
        if isinstance(content, str) and all(part["type"] == "text" for part in parts):
            return content
        return parts

    def _parts(self, part: Mapping[str, Any]) -> Iterator[dict[str, str]]:
        if part["type"] in IMAGE_PARTS:
            yield self._image(next((part[key] for key in ("image_url", "image", "url") if part.get(key)), None))
            return
        text = part["text"]
        self.literal = self.literal or (not self.beside and PLACEHOLDER in text)
        for number, piece in enumerate(text.split(PLACEHOLDER) if self.beside else [text]):
            if number:
                yield self._image(None)
            if piece or not self.beside:
                yield {"type": "text", "text": piece}

    def _image(self, value: Any) -> dict[str, str]:
        if value is not None:
            self.shown.append(self.pictures.keep(value, where="in the messages"))
        elif self.waiting:
            self.shown.append(self.waiting.pop())
        else:
            count = f"the {len(self.beside)} in '{self.column}'" if self.beside else "there are"
            raise BadLineError("image_count", f"has places for more images than {count}")
        return {"type": "image"}


def _show_first(messages: list[Message], *, count: int) -> None:
    """Put image parts before the words of the first user message."""
    message = next(message for message in messages if message["role"] == "user")
    words = message["content"]
    after = [{"type": "text", "text": words}] if isinstance(words, str) else words
    message["content"] = [{"type": "image"} for _ in range(count)] + after
