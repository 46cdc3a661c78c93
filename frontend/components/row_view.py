"""Dataset rows as people read them: what the model is asked, what is right, what it came from."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import streamlit as st

from frontend.api.types import Json, Row

IMAGE_PX = 240


def text_of(content: Any) -> str:
    """The text of a message; parts that are no text are named."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(part.get("text") or f"[{part.get('type', 'part')}]" for part in content)
    return "" if content is None else str(content)


def question(row: Row) -> str:
    """The text of the last message of the user; its pictures are named."""
    return text_of(_until_question(row)[-1].get("content"))


def asked(row: Row, *, picture: Callable[[str], bytes]) -> None:
    """The question with its pictures in their places; those of the messages before it come first.

    `picture` gives the bytes of an image by its SHA-256.
    """
    images = iter(row["images"])
    *before, last = _until_question(row)
    shown_before = sum(_is_image(part) for message in before for part in _parts(message.get("content")))
    for sha256 in islice(images, shown_before):
        _image(picture(sha256))
    _content(last.get("content"), images=images, picture=picture)


def _until_question(row: Row) -> list[Json]:
    """The messages up to the last one of the user; all of them where there is none."""
    of_user = [place for place, message in enumerate(row["messages"]) if message.get("role") == "user"]
    return row["messages"][: of_user[-1] + 1] if of_user else row["messages"]


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line a row."""
    return [
        {
            "row": row["row"],
            "question": question(row),
            "answer": row["reference"].get("answer"),
            "solution": row["reference"].get("solution"),
            "hint from": (row["hint"] or {}).get("source"),
        }
        for row in rows
    ]


def both_forms(row: Row, *, picture: Callable[[str], bytes]) -> None:
    """One row side by side: the normal form as a conversation, and the original.

    `picture` gives the bytes of an image by its SHA-256.
    """
    images = iter(row["images"])
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        st.markdown("**As the model sees it**")
        for message in row["messages"]:
            with st.chat_message("user" if message.get("role") == "user" else "assistant"):
                st.caption(str(message.get("role")))
                _content(message.get("content"), images=images, picture=picture)
        st.markdown("**What is right**")
        st.code(row["reference"]["answer"] or "no reference answer", language=None, wrap_lines=True)
        solution = row["reference"].get("solution")
        if solution:
            st.markdown("**Worked solution** (only the teacher sees it)")
            st.code(solution, language=None, wrap_lines=True)
    with right.container(border=True, height="stretch"):
        st.markdown("**As uploaded**")
        st.json(row["item"])


def _content(content: Any, *, images: Iterator[str], picture: Callable[[str], bytes]) -> None:
    """Words and images in their order; the n-th image part of a row shows the n-th of its images."""
    for part in _parts(content):
        shown = next(images, None) if _is_image(part) else None
        if shown is None:
            st.text(text_of([part] if isinstance(part, dict) else part))
        else:
            _image(picture(shown))


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "image"


def _image(encoded: bytes) -> None:
    st.image(encoded, width=IMAGE_PX, alt="A picture of the question")
