"""Text and images of a task's messages, the images in order of appearance.

Images are data URLs in the messages (`image_url` as in OpenAI's chat API, `input_image` as in its responses API), or
bytes in `Task.images`, whose positions are marked by parts `{"type": "image"}` or the text `<image>`. Nothing is
fetched over the network: a question must not change during training.
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
"""Accepted formats. Pillow supports many more, some of which start other programs."""
DATA_URL = re.compile(r"data:image/[\w.+-]+(?:;[\w-]+=[\w-]+)*;base64,(?P<data>.*)", re.DOTALL)

Message = dict[str, Any]
"""`role`, and `content`: a text, or a list of the parts `{"type": "text", "text": ...}` and `{"type": "image"}`."""


def messages_and_images(task: Task) -> tuple[list[Message], tuple[bytes, ...]]:
    """Return the messages of the task's prompt in one form, and the encoded images of their image parts, in order.

    Without placeholders, the task's images come before the text of the first user message. Other keys, such as
    `tool_calls`, are kept. ValueError naming the row where a message is malformed.
    """
    row_images, images = iter(task.images), list[bytes]()
    messages: list[Message] = []
    for message in task.prompt:
        role = message.get("role")
        if not isinstance(role, str):
            raise ValueError(f"row {task.row}: a message has no role")
        parts = list(_parts(message.get("content"), row_images=row_images, num_images=len(task.images), row=task.row))
        images += [part["data"] for part in parts if part["type"] == "image"]
        messages.append({**message, "role": role, "content": _content(parts)})
    unplaced = list(row_images)
    if unplaced and len(unplaced) < len(task.images):
        raise ValueError(
            f"row {task.row}: the messages have fewer image placeholders than the row has images ({len(task.images)})"
        )
    if unplaced:
        _prepend_images(messages, count=len(unplaced), row=task.row)
        images = unplaced + images
    return messages, tuple(images)


def _parts(content: object, *, row_images: Iterator[bytes], num_images: int, row: int) -> Iterator[dict[str, Any]]:
    """Yield text parts, and image parts with their `data`."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, Sequence):
        raise ValueError(f"row {row}: a message has no text content")
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
            # In a row without images of its own, "<image>" is ordinary text.
            texts = part["text"].split(PLACEHOLDER) if num_images else [part["text"]]
            for index, text in enumerate(texts):
                if index:
                    yield {"type": "image", "data": _next_image(row_images, num_images=num_images, row=row)}
                yield {"type": "text", "text": text}
        elif kind in ("image", "image_url", "input_image"):
            url = _url(part)
            image = _next_image(row_images, num_images=num_images, row=row) if url is None else _from_url(url, row=row)
            yield {"type": "image", "data": image}
        else:
            raise ValueError(f"row {row}: a message part is neither text nor an image")


def _url(part: Mapping[str, Any]) -> str | None:
    """Return the URL of an image part; None for a placeholder."""
    found = next((part[key] for key in ("image_url", "image", "url") if part.get(key) is not None), None)
    found = found.get("url") if isinstance(found, Mapping) else found
    return found if isinstance(found, str) else None


def _next_image(row_images: Iterator[bytes], *, num_images: int, row: int) -> bytes:
    image = next(row_images, None)
    if image is None:
        raise ValueError(f"row {row}: the messages have more image placeholders than the row has images ({num_images})")
    return image


def _from_url(url: str, *, row: int) -> bytes:
    found = DATA_URL.fullmatch(url.strip())
    if found is None:
        raise ValueError(
            f"row {row}: an image is given as {url[:40]!r}, which is not fetched: use a data URL "
            "(data:image/png;base64,...)"
        )
    try:
        return base64.b64decode(found["data"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"row {row}: an image's data URL is not valid base64: {error}") from error


def _content(parts: Sequence[Mapping[str, Any]]) -> str | list[dict[str, str]]:
    """Join the parts into one text if there is no image; else return them without image data and empty texts."""
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return [
        {"type": "image"} if part["type"] == "image" else {"type": "text", "text": part["text"]}
        for part in parts
        if part.get("text") != ""
    ]


def _prepend_images(messages: Sequence[Message], *, count: int, row: int) -> None:
    """Put image parts before the text of the first user message."""
    for message in messages:
        if message["role"] == "user":
            content = message["content"]
            after = [{"type": "text", "text": content}] if isinstance(content, str) else content
            message["content"] = [{"type": "image"}] * count + after
            return
    raise ValueError(f"row {row}: the images need a user message, but there is none")


def decode_image(encoded: bytes, *, row: int) -> Image.Image:
    """Decode an image to RGB, upright. ValueError naming the row where it is not an image, damaged or too large."""
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"row {row}: an image cannot be read: {error}") from error
