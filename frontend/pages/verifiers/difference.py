"""What changed from one version of a verifier to another, line by line."""

import difflib
import html
import json
from collections.abc import Iterator

import streamlit as st

from frontend.api.types import Json, Verifier

AROUND = 3
"""Unchanged lines shown before and after a change."""
SIGNS = {"+": "added", "-": "removed", "@": "place", " ": "same"}


def panel(versions: list[Verifier], *, number: int) -> None:
    """`versions`: all, the newest first; `number`: the one that is looked at."""
    others = {version["version"]: version for version in versions if version["version"] != number}
    if not others:
        return
    with st.expander("What changed", icon=":material/difference:"):
        earlier = [other for other in others if other < number]
        base = st.selectbox(
            "Compared with version",
            list(others),
            index=list(others).index(earlier[0] if earlier else next(iter(others))),
            key=f"difference_{versions[0]['id']}_{number}",
            width=220,
        )
        this = next(version for version in versions if version["version"] == number)
        lines = list(differing(others[base]["grader"], this["grader"]))
        if not lines:
            st.caption(f"Versions {base} and {number} are the same.")
            return
        st.caption(f"From version {base} to version {number}: green was added, red was taken away.")
        st.html(marked(lines))


def differing(before: Json, after: Json) -> Iterator[str]:
    """Lines of a unified difference, those of the file heads left out."""
    lines = difflib.unified_diff(as_lines(before), as_lines(after), lineterm="", n=AROUND)
    for number, line in enumerate(lines):
        if number >= 2:
            yield line


def as_lines(grader: Json) -> list[str]:
    """A grader as people read it: its fields as JSON, a program as its own lines."""
    fields = {name: value for name, value in grader.items() if name not in ("source", "name")}
    source = grader.get("source")
    shown = json.dumps(fields, indent=2, ensure_ascii=False, sort_keys=True).splitlines()
    return [*shown, "", *source.splitlines()] if isinstance(source, str) else shown


def marked(lines: list[str]) -> str:
    """HTML with added and removed lines coloured. Text is escaped."""
    shown = "".join(
        f'<div class="{SIGNS.get(line[:1], "same")}">{html.escape(line) or "&nbsp;"}</div>' for line in lines
    )
    return f'<div class="difference">{shown}</div>'
