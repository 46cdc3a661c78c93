"""The prompts of a row side by side: the student's, and each teacher's with the hint marked."""

import html
import re

import streamlit as st

from frontend.api.types import Json
from frontend.words import units

REPEATED = re.compile(r"(<[^<>\s]{1,40}>)\1{3,}")
"""A special token repeated many times, as for images."""
ROLES = {"teacher": "Teacher", "contrast": "Teacher with the second hint"}


def show(preview: Json, *, key: str) -> None:
    """Show a teacher preview from the API."""
    st.caption(preview["note"])
    if preview["too_long"]:
        st.error(
            f"A prompt is longer than the allowed {preview['allowed_tokens']:,} tokens: training would stop at this "
            "row.",
            icon=":material/error:",
        )
    prompts = [("Student", preview["student"]), *((ROLES[each["role"]], each) for each in preview["teachers"])]
    for place, (title, prompt) in zip(st.columns(len(prompts)), prompts, strict=True):
        with place.container(border=True, key=f"{key}_{title}"):
            st.markdown(f"**{title}**" + (f" · hint “{prompt['hint']}”" if "hint" in prompt else ""))
            st.caption(counts(prompt))
            st.html(marked(prompt))
            if prompt.get("cut"):
                st.warning("The hint is truncated in this prompt.", icon=":material/content_cut:")
            if prompt.get("only_the_hint_differs") is False:
                st.caption("Next to the hint, the rest of the prompt is tokenized differently from the student's.")


def counts(prompt: Json) -> str:
    """Describe the prompt's length, its images, and where the completion starts."""
    images = ""
    if prompt["images"]:
        tokens = units.count(prompt["image_tokens"], "token")
        images = f", of which {tokens} for {units.count(prompt['images'], 'image')}"
    start = f"{prompt['completion_position']:,}"
    return f"{units.count(prompt['tokens'], 'token')}{images}; the completion starts at position {start}."


def marked(prompt: Json) -> str:
    """Return HTML of the prompt with its hint marked; repeated tokens are counted instead. Text is escaped."""
    text, start, end = prompt["text"], prompt.get("hint_start"), prompt.get("hint_end")
    if start is None or end is None:
        return f'<div class="matches">{_escaped(text)}</div>'
    inside = f"<mark>{_escaped(text[start:end])}</mark>" if end > start else ""
    return f'<div class="matches">{_escaped(text[:start])}{inside}{_escaped(text[end:])}</div>'


def _escaped(text: str) -> str:
    def counted(run: re.Match[str]) -> str:
        return f"{run[1]} × {len(run[0]) // len(run[1]):,} "

    return html.escape(REPEATED.sub(counted, text))
