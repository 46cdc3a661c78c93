"""Dataset rows in readable form: question, reference answer, original."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import streamlit as st

from frontend.api.types import FileRow, Json

IMAGE_PX = 240


def text_of(content: Any) -> str:
    """Return the text of a message; other parts appear as their type in brackets."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(part.get("text") or f"[{part.get('type', 'part')}]" for part in content)
    return "" if content is None else str(content)


def calls_of(message: Json) -> list[str]:
    """Return the tool calls of a message as text, such as `balance({"account": 7})`."""
    functions = [call["function"] for call in message.get("tool_calls") or []]
    return [f"{each['name']}({json.dumps(each['arguments'], ensure_ascii=False)})" for each in functions]


def question(row: FileRow) -> str:
    """Return the text of the last user message; images appear as `[image]`."""
    return text_of(_until_question(row)[-1].get("content"))


def show_question(row: FileRow, *, image: Callable[[str], bytes]) -> None:
    """Show the question with its images in place; those of earlier messages come first.

    `image`: bytes of an image by its SHA-256.
    """
    images = iter(row["images"])
    *before, last = _until_question(row)
    shown_before = sum(_is_image(part) for message in before for part in _parts(message.get("content")))
    for sha256 in islice(images, shown_before):
        _show_image(image(sha256))
    _content(last.get("content"), images=images, image=image)


def _until_question(row: FileRow) -> list[Json]:
    """Return the messages up to the last user message; all if there is none."""
    of_user = [place for place, message in enumerate(row["messages"]) if message.get("role") == "user"]
    return row["messages"][: of_user[-1] + 1] if of_user else row["messages"]


def table(rows: Sequence[FileRow]) -> list[dict[str, Any]]:
    """Build a table with one line per row."""
    return [
        {
            "row": row["row"],
            "question": question(row),
            "answer": row["reference"].get("answer"),
            "solution": row["reference"].get("solution"),
            "hint from": row["hint"]["source"] if row["hint"] else None,
        }
        for row in rows
    ]


def right_answer(row: FileRow) -> str | list[str] | None:
    """Return what a verifier compares with: the answer, or a list of which any one is right."""
    return row["reference"].get("accepted") or row["reference"].get("answer")


def both_forms(row: FileRow, *, image: Callable[[str], bytes]) -> None:
    """Show a row twice: its normal form as a conversation, and the original.

    `image`: bytes of an image by its SHA-256.
    """
    images = iter(row["images"])
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        st.markdown("**As the model sees it**")
        if row["tools"]:
            st.caption("Tools")
            st.code(json.dumps(row["tools"], indent=1, ensure_ascii=False), language="json", wrap_lines=True)
        for message in row["messages"]:
            with st.chat_message("user" if message.get("role") == "user" else "assistant"):
                st.caption(str(message.get("role")))
                _content(message.get("content"), images=images, image=image)
                for call in calls_of(message):
                    st.code(call, language=None, wrap_lines=True)
        accepted = row["reference"].get("accepted") or []
        st.markdown("**Right answers** (any one of them)" if len(accepted) > 1 else "**Right answer**")
        shown = "\n".join(accepted) or row["reference"]["answer"] or "no reference answer"
        st.code(shown, language=None, wrap_lines=True)
        solution = row["reference"].get("solution")
        if solution:
            st.markdown("**Worked solution** (seen only by the teacher)")
            st.code(solution, language=None, wrap_lines=True)
    with right.container(border=True, height="stretch"):
        st.markdown("**As uploaded**")
        st.json(row["item"])


def _content(content: Any, *, images: Iterator[str], image: Callable[[str], bytes]) -> None:
    """Show text and images in order; the n-th image part of a row is its n-th image."""
    for part in _parts(content):
        sha256 = next(images, None) if _is_image(part) else None
        if sha256 is None:
            st.text(text_of([part] if isinstance(part, dict) else part))
        else:
            _show_image(image(sha256))


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "image"


def _show_image(encoded: bytes) -> None:
    st.image(encoded, width=IMAGE_PX, alt="An image of the question")
