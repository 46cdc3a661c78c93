"""A row's question as chat messages, with its images in order.

In the normal form a message's content is a string, or a list of the parts `{"type": "text", "text": ...}` and
`{"type": "image"}`; the n-th image part of a row stands for the n-th of its images. Images are given in the messages
(`image_url` as in OpenAI's chat completions, `input_image` as in its responses, `image`) or in a separate column; then
image parts without a URL or the placeholder `<image>` mark their positions, and without any, images come first.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from backend.datasets.formats.json_lines import BadLineError
from backend.datasets.rows.asked_about import context_of, with_choices, with_context
from backend.datasets.rows.paths import canonical, text_at, value_at
from backend.datasets.rows.recognise import CONVERSATIONS, IMAGE_COLUMNS
from backend.datasets.rows.shape import Shape
from backend.datasets.rows.tools import from_responses, with_calls
from backend.datasets.rows.turns import PLACEHOLDER, as_messages, ends_with_assistant, history_of

ROLES = ("system", "developer", "user", "assistant", "tool")
LAST_ROLES = ("user", "tool")
TEXT_PARTS = ("text", "input_text", "output_text")
IMAGE_PARTS = ("image_url", "image", "input_image")
INSTRUCTIONS = "responses_create_params.instructions"
"""Path of the system message in rows in the form of OpenAI's responses API."""

Message = dict[str, Any]


class ImageKeeper(Protocol):
    """Stores an image that a row contains or names, and returns its identifier."""

    def keep(self, value: Any, *, where: str) -> str: ...


def messages_of(item: Mapping[str, Any], *, shape: Shape) -> list[Message]:
    """Return the row's question as messages; a string is one user message. Raises BadLineError."""
    is_response = shape.question.startswith(INSTRUCTIONS.partition(".")[0])
    value = as_messages(value_at(item, shape.question), column=shape.question)
    if isinstance(value, str) and canonical(shape.question) in CONVERSATIONS:
        raise BadLineError("invalid_messages", f"has a text in '{shape.question:.60}' that is no list of messages")
    if is_response and isinstance(value, list):
        value = from_responses(value)
    if _ends_with_reply(value, shape=shape):
        value = value[:-1]
    context = context_of(item, shape=shape)
    if context is not None and isinstance(value, list):
        raise BadLineError(
            "invalid_messages",
            f"has messages in '{shape.question:.60}' and a text in '{shape.context}': put the text in them",
        )
    if isinstance(value, str):
        value = with_choices(with_context(value, context), item, shape=shape)
    messages = _messages(value, column=shape.question)
    if shape.history is not None:
        messages = [*history_of(value_at(item, shape.history), column=shape.history), *messages]
    for column in (INSTRUCTIONS if is_response else None, shape.system):
        if column is not None and text_at(item, column) is not None:
            messages = _with_system(messages, value_at(item, column), column=column)
    return messages


def leaves_out_reply(item: Mapping[str, Any], *, shape: Shape) -> bool:
    """Return whether the assistant's turn that ends the conversation is no part of the row: its answer is elsewhere."""
    return shape.answer != shape.question and _ends_with_reply(value_at(item, shape.question), shape=shape)


def _ends_with_reply(value: Any, *, shape: Shape) -> bool:
    """Return whether a conversation ends with a turn of the assistant that is no part of the question."""
    is_conversation = canonical(shape.question) in CONVERSATIONS
    is_answered = shape.answer == shape.question or (shape.answer is not None and is_conversation)
    return is_answered and ends_with_assistant(value)


def _with_system(messages: list[Message], text: Any, *, column: str) -> list[Message]:
    """Put a system message before the others. Raises BadLineError if they begin with another one, or it is no text."""
    if not isinstance(as_messages(text, column=column), str):
        raise BadLineError("invalid_messages", f"needs the text of a system message in '{column}'")
    if messages[0] == {"role": "system", "content": text}:
        return messages
    if messages[0]["role"] in ("system", "developer"):
        raise BadLineError("invalid_messages", f"has a system message in the messages, and another one in '{column}'")
    return [{"role": "system", "content": text}, *messages]


def reply_of(item: Mapping[str, Any], *, column: str) -> str:
    """Return the text of the assistant's turn that ends the conversation in a column. Raises BadLineError."""
    value = as_messages(value_at(item, column), column=column)
    if not ends_with_assistant(value):
        raise BadLineError("missing_answer", f"does not end '{column:.60}' with a message of the assistant")
    return _text_of_reply(value[-1], column=column)


def answer_of_messages(value: Any, *, column: str) -> str | None:
    """Return the text of an answer that is a message of the assistant; None if it is no message.

    Raises BadLineError for several messages.
    """
    try:
        messages = as_messages(value, column=column)
    except BadLineError:
        return None
    if not isinstance(messages, list) or not messages or not all(map(_is_chat_message, messages)):
        return None
    if len(messages) > 1 or not ends_with_assistant(messages):
        raise BadLineError("invalid_answer", f"needs a text or one message of the assistant in '{column:.60}'")
    return _text_of_reply(messages[0], column=column)


def _is_chat_message(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("role") in ROLES and "content" in value


def _text_of_reply(message: Mapping[str, Any], *, column: str) -> str:
    if message.get("tool_calls"):
        raise BadLineError(
            "missing_answer", f"ends '{column:.60}' with calls of tools: the right answer must be a text of its own"
        )
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    if not all(isinstance(text, str) for text in texts):
        raise BadLineError("missing_answer", f"ends '{column:.60}' with a message of the assistant that is no text")
    return "".join(map(str, texts))


def with_images(
    messages: list[Message], item: Mapping[str, Any], *, shape: Shape, image_store: ImageKeeper
) -> tuple[list[Message], tuple[str, ...]]:
    """Return (messages with a part for each image, SHA-256 of the images in order). Raises BadLineError."""
    column, column_images = _column_images(item, shape)
    if not column_images and all(isinstance(message["content"], str) for message in messages):
        return messages, ()
    return _ImagePlacement(column_images, column=column, image_store=image_store).place(messages)


def _messages(value: Any, *, column: str) -> list[Message]:
    if value is None:
        raise BadLineError("missing_question", f"has no '{column}'")
    if isinstance(value, str):
        if not value.strip():
            raise BadLineError("empty_question", f"has an empty '{column}'")
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise BadLineError("invalid_messages", f"needs a string or a list of messages in '{column}'")
    messages = [_message(message, where=f"{column}[{index}]") for index, message in enumerate(value)]
    if messages[-1]["role"] not in LAST_ROLES:
        raise BadLineError(
            "last_message_not_user",
            f"ends '{column}' with a message of role '{messages[-1]['role']}': the last role must be 'user' or 'tool'",
        )
    if all(message["role"] != "user" for message in messages):
        raise BadLineError("no_user_message", f"has no message of the role 'user' in '{column}'")
    return messages


def _message(message: object, *, where: str) -> Message:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadLineError("invalid_messages", f"needs an object with 'role' and 'content' at {where}")
    if message["role"] not in ROLES:
        raise BadLineError(
            "invalid_messages", f"has the role '{message['role']:.40}' at {where}: use one of {', '.join(ROLES)}"
        )
    message = with_calls(message, where=where)
    content = message.get("content")
    if isinstance(content, str):
        if not content.strip() and message["role"] == "user":
            raise BadLineError("empty_question", f"has empty content at {where}")
        return message
    if not isinstance(content, list) or not content:
        raise BadLineError("invalid_messages", f"needs a string or a list of parts in {where}.content")
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in IMAGE_PARTS and (kind not in TEXT_PARTS or not isinstance(part.get("text"), str)):
            raise BadLineError("invalid_messages", f"needs a text or an image at {where}.content[{index}]")
    return message


def _column_images(item: Mapping[str, Any], shape: Shape) -> tuple[str, list[Any]]:
    """Return (column, images in it): the shape's column, or the first known one that is not empty in the row."""
    for column in IMAGE_COLUMNS if shape.images is None else (shape.images,):
        value = value_at(item, column)
        if value is not None and value not in ("", [], {}):
            return column, value if isinstance(value, list) else [value]
    return "", []


class _ImagePlacement:
    """Assigns each image of one row to an image part, and checks that their numbers match."""

    def __init__(self, column_images: list[Any], *, column: str, image_store: ImageKeeper) -> None:
        self.from_column = [image_store.keep(value, where=f"in {column}[{n}]") for n, value in enumerate(column_images)]
        self.column = column
        self.image_store = image_store
        self.unplaced = list(reversed(self.from_column))
        self.placed: list[str] = []
        self.has_literal_placeholder = False

    def place(self, messages: list[Message]) -> tuple[list[Message], tuple[str, ...]]:
        with_parts = [message | {"content": self._content(message["content"])} for message in messages]
        if self.has_literal_placeholder and self.placed:
            raise BadLineError(
                "image_count", f"has the placeholder {PLACEHOLDER}, but its images are in the messages themselves"
            )
        if self.unplaced and self.placed:
            raise BadLineError(
                "image_count",
                f"has {len(self.from_column)} images in '{self.column}', but the messages lack a placeholder for "
                f"{len(self.unplaced)} of them",
            )
        if self.unplaced:
            _prepend_images(with_parts, count=len(self.from_column))
        return with_parts, tuple(self.placed or self.from_column)

    def _content(self, content: str | list[Any]) -> str | list[dict[str, str]]:
        given = [{"type": "text", "text": content}] if isinstance(content, str) else content
        parts = [new for part in given for new in self._parts(part)]
        if isinstance(content, str) and all(part["type"] == "text" for part in parts):
            return content
        return parts

    def _parts(self, part: Mapping[str, Any]) -> Iterator[dict[str, str]]:
        if part["type"] in IMAGE_PARTS:
            yield self._image(next((part[key] for key in ("image_url", "image", "url") if part.get(key)), None))
            return
        text = part["text"]
        self.has_literal_placeholder |= not self.from_column and PLACEHOLDER in text
        for number, piece in enumerate(text.split(PLACEHOLDER) if self.from_column else [text]):
            if number:
                yield self._image(None)
            if piece or not self.from_column:
                yield {"type": "text", "text": piece}

    def _image(self, value: Any) -> dict[str, str]:
        if value is not None:
            self.placed.append(self.image_store.keep(value, where="in the messages"))
        elif self.unplaced:
            self.placed.append(self.unplaced.pop())
        else:
            count = f"the {len(self.from_column)} in '{self.column}'" if self.from_column else "it has"
            raise BadLineError("image_count", f"has placeholders for more images than {count}")
        return {"type": "image"}


def _prepend_images(messages: list[Message], *, count: int) -> None:
    """Insert image parts before the text of the first user message."""
    message = next(message for message in messages if message["role"] == "user")
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    message["content"] = [{"type": "image"} for _ in range(count)] + parts
