"""Forms of the kinds that use a judge model: its score, or its label."""

from typing import Any

import streamlit as st

from frontend.api.types import Json
from frontend.app_pages.verifiers.graders.form import PLACEHOLDERS, form, score_range, text_list
from frontend.app_pages.verifiers.graders.repeated import editable_list

ROLES = ("system", "developer", "user", "assistant")
QUESTION = "Question: {{item.question}}\n\nAnswer: {{sample.output_text}}\n\nHow good is the answer?"


def _judge(grader: Json, key: str) -> Json:
    """Show the fields of both kinds: the judge's model and its messages."""
    model = st.text_input("Judge model", grader.get("model", ""), key=f"{key}_model", placeholder="gpt-5-mini")
    st.caption("Messages to the judge")
    messages = editable_list(
        grader.get("input") or [{"role": "user", "content": QUESTION}],
        key=f"{key}_input",
        draw=_message,
        new=lambda: {"role": "user", "content": ""},
        noun="message",
    )
    return {"model": model.strip(), "input": messages}


def _message(message: Json, key: str, _place: int) -> Json:
    role = message.get("role", "user")
    chosen = st.selectbox("Role", ROLES, index=ROLES.index(role) if role in ROLES else 2, key=f"{key}_role")
    content = st.text_area(
        "Message", text_of(message.get("content", "")), height=120, key=f"{key}_content", help=PLACEHOLDERS
    )
    return {"role": chosen, "content": content}


def text_of(content: Any) -> str:
    """Return a message's content, which may be a list of parts, as one text."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _score_model(grader: Json, key: str) -> Json:
    judge = _judge(grader, key)
    return judge | {"range": list(score_range(grader, key, help="The judge is asked for a number within them."))}


def _label_model(grader: Json, key: str) -> Json:
    judge = _judge(grader, key)
    labels = text_list(
        "Labels", list(grader.get("labels", ["good", "bad"])), key=f"{key}_labels", help="The judge chooses one."
    )
    passing = st.multiselect(
        "Labels that score 1",
        labels,
        default=[label for label in grader.get("passing_labels", ["good"]) if label in labels],
        key=f"{key}_passing",
        help="All others score 0.",
    )
    return judge | {"labels": labels, "passing_labels": passing}


SCORE_MODEL = form(_score_model, "model", "input", "range")
LABEL_MODEL = form(_label_model, "model", "input", "labels", "passing_labels")
