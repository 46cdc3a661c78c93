"""Owns what a task's messages hold: their words, and their pictures in the order in which they are shown.

Pictures stand in the messages as data URLs (`image_url` as in OpenAI's chat, `input_image` as in its responses), or
beside them in `Task.images`, and then a part `{"type": "image"}` or the word `<image>` says where each one belongs.
Nothing is fetched: a question must not change while it is being learnt.
"""

import base64
import binascii
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image, ImageOps

from worker.engine.types import Task

PLACEHOLDER = "<image>"
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What is tried. Pillow knows many more, some of which start other programs."""
DATA_URL = re.compile(r"data:image/[\w.+-]+(?:;[\w-]+=[\w-]+)*;base64,(?P<data>.*)", re.DOTALL)

Message = dict[str, Any]
"""`role`, and `content`: a text, or a list of the parts `{"type": "text", "text": ...}` and `{"type": "image"}`."""


def messages_and_pictures(task: Task) -> tuple[list[Message], tuple[bytes, ...]]:
    """The task's messages in one form, and the encoded pictures that belong into their image parts, in order.

    A task whose messages give its images no place shows them before the words of the first user message. Other roles
    and keys are kept out. ValueError names the row of what is malformed.
    """
    given, pictures = iter(task.images), list[bytes]()
    messages: list[Message] = []
    for message in task.messages:
        role = message.get("role")
        if not isinstance(role, str):
            raise ValueError(f"row {task.row}: a message has no role")
        parts = list(_parts(message.get("content"), given=given, num_given=len(task.images), row=task.row))
        pictures += [part["picture"] for part in parts if part["type"] == "image"]
        messages.append({"role": role, "content": _content(parts)})
    left = list(given)
    if left and len(left) < len(task.images):
        raise ValueError(f"row {task.row}: the messages have places for fewer images than the row's {len(task.images)}")
    if left:
        _show_first(messages, count=len(left), row=task.row)
        pictures = left + pictures
    return messages, tuple(pictures)


def _parts(content: object, *, given: Iterator[bytes], num_given: int, row: int) -> Iterator[dict[str, Any]]:
    """Text parts, and image parts with their `picture`."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, Sequence):
        raise ValueError(f"row {row}: a message has no text content")
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in ("text", "input_text") and isinstance(part.get("text"), str):
            # Without images of its own, a row may well speak of "<image>".
            texts = part["text"].split(PLACEHOLDER) if num_given else [part["text"]]
            for index, text in enumerate(texts):
                if index:
                    yield {"type": "image", "picture": _next(given, num_given=num_given, row=row)}
                yield {"type": "text", "text": text}
        elif kind in ("image", "image_url", "input_image"):
            url = _url(part)
            picture = _next(given, num_given=num_given, row=row) if url is None else _from_url(url, row=row)
            yield {"type": "image", "picture": picture}
        else:
            raise ValueError(f"row {row}: a message part is neither text nor an image")


def _url(part: Mapping[str, Any]) -> str | None:
    """The address inside an image part; None where it only says that an image belongs here."""
    found = next((part[key] for key in ("image_url", "image", "url") if part.get(key) is not None), None)
    found = found.get("url") if isinstance(found, Mapping) else found
    return found if isinstance(found, str) else None


def _next(given: Iterator[bytes], *, num_given: int, row: int) -> bytes:
    picture = next(given, None)
    if picture is None:
        raise ValueError(f"row {row}: the messages have places for more images than the row's {num_given}")
    return picture


def _from_url(url: str, *, row: int) -> bytes:
    found = DATA_URL.fullmatch(url.strip())
    if found is None:
        raise ValueError(
            f"row {row}: an image is not a data URL (data:image/png;base64,...) but {url[:40]!r}, and none is fetched"
        )
    try:
        return base64.b64decode(found["data"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"row {row}: an image's data URL is not valid base64: {error}") from error


def _content(parts: Sequence[Mapping[str, Any]]) -> str | list[dict[str, str]]:
    """One text where there is no image; else the parts, without pictures and empty texts."""
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return [
        {"type": "image"} if part["type"] == "image" else {"type": "text", "text": part["text"]}
        for part in parts
        if part.get("text") != ""
    ]


def _show_first(messages: Sequence[Message], *, count: int, row: int) -> None:
    """Put image parts before the words of the first user message."""
    for message in messages:
        if message["role"] == "user":
            words = message["content"]
            after = [{"type": "text", "text": words}] if isinstance(words, str) else words
            message["content"] = [{"type": "image"}] * count + after
            return
    raise ValueError(f"row {row}: there is no user message to show the images in")


def decode_picture(encoded: bytes, *, row: int) -> Image.Image:
    """The picture in RGB, upright. ValueError naming the row where the bytes are no picture, a broken or a huge one."""
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"row {row}: an image cannot be read: {error}") from error
