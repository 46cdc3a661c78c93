"""Dataset rows as people read them: what the model is asked, what is right, what it came from."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import streamlit as st

from frontend.shapes import Row

IMAGE_PX = 240


def plain(text: str) -> str:
    """A sentence without what Markdown would take for markup."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>$#:~" else character for character in text)


def text_of(content: Any) -> str:
    """The text of a message; parts that are no text are named."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(part.get("text") or f"[{part.get('type', 'part')}]" for part in content)
    return "" if content is None else str(content)


def question(row: Row) -> str:
    """The last message of the user."""
    asked = [message for message in row["messages"] if message.get("role") == "user"] or row["messages"]
    return text_of(asked[-1].get("content")) if asked else ""


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
    for part in content if isinstance(content, list) else [content]:
        shown = next(images, None) if isinstance(part, dict) and part.get("type") == "image" else None
        if shown is None:
            st.text(text_of([part] if isinstance(part, dict) else part))
        else:
            st.image(picture(shown), width=IMAGE_PX)
