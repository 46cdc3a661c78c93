"""What changed from one version of a verifier to another, line by line."""

import difflib
import html
import json
from collections.abc import Iterator

import streamlit as st

from frontend.api.types import Json, VersionObject

AROUND = 3
"""Unchanged lines shown before and after a change."""
SIGNS = {"+": "added", "-": "removed", "@": "place", " ": "same"}


def panel(versions: list[VersionObject], *, number: int) -> None:
    """Show the difference to another version. `versions`: all, the newest first; `number`: the shown one."""
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
            st.caption(f"Versions {base} and {number} are identical.")
            return
        st.caption(f"From version {base} to version {number}: green lines were added, red lines were removed.")
        st.html(marked(lines))


def differing(before: Json, after: Json) -> Iterator[str]:
    """Yield the lines of a unified diff, without the file header."""
    lines = difflib.unified_diff(as_lines(before), as_lines(after), lineterm="", n=AROUND)
    for number, line in enumerate(lines):
        if number >= 2:
            yield line


def as_lines(grader: Json) -> list[str]:
    """Return a grader as lines: its fields as JSON, its program line by line."""
    fields = {name: value for name, value in grader.items() if name not in ("source", "name")}
    source = grader.get("source")
    shown = json.dumps(fields, indent=2, ensure_ascii=False, sort_keys=True).splitlines()
    return [*shown, "", *source.splitlines()] if isinstance(source, str) else shown


def marked(lines: list[str]) -> str:
    """Return HTML with added and removed lines coloured. Text is escaped."""
    shown = "".join(
        f'<div class="{SIGNS.get(line[:1], "same")}">{html.escape(line) or "&nbsp;"}</div>' for line in lines
    )
    return f'<div class="difference">{shown}</div>'
