"""The matches of a pattern in the pasted text, found in the sandbox, since a pattern may never finish."""

import html
import json
from collections.abc import Sequence

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json

KEPT = "matches_kept"
MOST = 40
Match = tuple[int, int, int, int]
"""Start and end of a match and of its group `answer` (-1 without one), in characters."""
_PROGRAM = """
import itertools, json, re

def grade(item, output_text):
    found = []
    for match in itertools.islice(re.finditer(item["pattern"], output_text, item["flags"]), item["most"]):
        answer = match.span("answer") if "answer" in match.re.groupindex else (-1, -1)
        found.append([*match.span(), *answer])
    return {"score": bool(found), "reason": json.dumps(found)}
"""
_FLAGS = {"a": 256, "i": 2, "m": 8, "s": 16, "x": 64}
"""The flag values of Python's `re`."""


def show(client: Client, grader: Json, *, text: str) -> None:
    """Show the pasted text with its matches; nothing if there is none, or if the grader reads another text."""
    if not text.strip() or grader.get("input"):
        return
    request = [grader["pattern"], grader.get("flags", ""), text]
    if st.session_state.get(KEPT, [None])[0] != request:
        st.session_state[KEPT] = [request, _found(client, grader, text)]
    found: list[Match] | str = st.session_state[KEPT][1]
    if isinstance(found, str):
        st.warning(found, icon=":material/timer_off:")
        return
    if not found:
        st.caption("No match in the text under “Test it”.")
        return
    st.caption("Matches in the text under “Test it”. The first one counts; its group `answer` is underlined.")
    st.html(marked(text, found))


def _found(client: Client, grader: Json, text: str) -> list[Match] | str:
    """Return the matches, or why they could not be found."""
    flags = sum(_FLAGS.get(letter, 0) for letter in set(grader.get("flags", "")))
    item = {"pattern": grader["pattern"], "flags": flags, "most": MOST}
    try:
        record = client.try_verifier(
            {"type": "python", "name": "matches", "source": _PROGRAM}, item=item, answer=None, output_text=text
        )
    except ApiError as error:
        return error.message
    if record["status"] == "timeout":
        return "The pattern exceeded the time limit on this text. It would time out in training, too."
    if record["status"] != "ok" or record["reason"] is None:
        return f"The matches could not be found: {record['reason']}"
    return [(start, end, first, last) for start, end, first, last in json.loads(record["reason"])]


def marked(text: str, found: Sequence[Match]) -> str:
    """Return HTML with matches marked, the first more strongly, and groups `answer` underlined. Text is escaped."""
    parts, at = [], 0
    for place, (start, end, first, last) in enumerate(found):
        if start < at:
            continue
        parts.append(html.escape(text[at:start]))
        inner = html.escape(text[start:end])
        if first >= 0:
            before, answer, after = text[start:first], text[first:last], text[last:end]
            inner = f"{html.escape(before)}<u>{html.escape(answer)}</u>{html.escape(after)}"
        parts.append(f'<mark class="{"first" if place == 0 else "later"}">{inner}</mark>')
        at = end
    parts.append(html.escape(text[at:]))
    return f'<div class="matches">{"".join(parts)}</div>'
