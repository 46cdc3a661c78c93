"""A question as a model is asked it: own words or a row of a dataset, images among them, in the API's shape. Pure."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from frontend.api.types import Json, Row

SIGNATURES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}


@dataclass(frozen=True, slots=True)
class Question:
    """`item` and `answer` are what a verifier is told beside the text that it scores."""

    messages: list[Json]
    item: Json
    answer: str | None


def data_url(image: bytes) -> str:
    """The image as its own address; one of a kind we do not know is called PNG and left to the service to refuse."""
    kind = next((kind for start, kind in SIGNATURES.items() if image.startswith(start)), "png")
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def own(text: str, *, system: str, answer: str | None, images: Sequence[bytes]) -> Question:
    parts: list[Json] = [_image(image) for image in images] + [{"type": "text", "text": text}]
    messages: list[Json] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": parts if images else text})
    item = {"question": text} | ({"answer": answer} if answer else {})
    return Question(messages, item, answer)


def of_row(row: Row, *, picture: Callable[[str], bytes]) -> Question:
    """The row as training asks it; `picture` gives an image by its SHA-256, the n-th image part shows the n-th."""
    shown = iter(row["images"])

    def part(said: Any) -> Json:
        if isinstance(said, dict) and said.get("type") == "image":
            return _image(picture(next(shown)))
        return {"type": "text", "text": str(said.get("text", "")) if isinstance(said, dict) else str(said)}

    def content(said: Any) -> Any:
        return [part(each) for each in said] if isinstance(said, list) else said

    messages = [{"role": m["role"], "content": content(m["content"])} for m in row["messages"]]
    return Question(messages, row["item"], row["reference"]["answer"])


def _image(image: bytes) -> Json:
    return {"type": "image_url", "image_url": {"url": data_url(image)}}
