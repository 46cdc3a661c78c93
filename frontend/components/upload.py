"""Uploading a dataset: choose a file, see its first lines, name the columns where the service cannot tell them."""

import io
import itertools
import json
import re
from typing import Any

import streamlit as st

from frontend import units
from frontend.client import ApiError, Client
from frontend.components import problems

SHOWN_LINES = 3
TYPES = ["jsonl", "json", "ndjson", "csv", "tsv", "parquet", "gz", "zip"]
PACKED = (b"PK", b"\x1f\x8b")
"""How ZIP and gzip begin, whose lines are nothing to look at."""
NONE = "— none —"
MAPPING_OPEN = "upload_mapping_open"
REFUSED = "upload_refused"
LONG_BYTES = 8_000_000
"""A larger file is not waited for: its page shows how far it is read."""


def first_objects(content: bytes, *, most: int) -> list[dict[str, Any]]:
    """The first lines that hold a JSON object; others are left for the service to report."""
    found = []
    for line in itertools.islice(io.BytesIO(content), 200):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
        if len(found) == most:
            break
    return found


def named_line(content: bytes, message: str) -> tuple[int, str] | None:
    """The line that a refusal speaks of (`line 17`), to be shown beside it."""
    said = re.search(r"\bline (\d+)", message)
    if said is None or content.startswith(PACKED):
        return None
    number = int(said[1])
    line = next(itertools.islice(io.BytesIO(content), number - 1, number), None)
    return None if line is None else (number, line.decode(errors="replace").rstrip()[:2000])


def _columns_menus(columns: list[str]) -> dict[str, str] | None:
    """Menus for the mapping; None while question or answer is not chosen."""
    st.write("Which column holds what?")
    with st.container(horizontal=True):
        asked = st.selectbox("Question", columns, index=None, placeholder="choose a column", key="map_question")
        answer = st.selectbox("Answer", columns, index=None, placeholder="choose a column", key="map_answer")
        hint = st.selectbox(
            "Worked solution or hint", [NONE, *columns], key="map_hint", help="Shown to the teacher only."
        )
    if not asked or not answer:
        return None
    return {"question": asked, "answer": answer} | ({} if hint == NONE else {"hint": hint})


def card(client: Client) -> str | None:
    """The upload form. Returns the id of a file that was stored in this run, its rows perhaps still to be read."""
    with st.container(border=True):
        st.subheader("Upload a dataset", anchor=False)
        st.caption(
            "JSONL, JSON, CSV, TSV or Parquet, also with gzip, or a ZIP of one table and an `images` folder. Files "
            "made for OpenAI, NeMo Gym, verl, ms-swift, TRL, verifiers or GSM8K are taken as they are; the row keeps "
            "every column for your verifier."
        )
        chosen = st.file_uploader("Dataset file", type=TYPES, key="upload_file")
        if chosen is None:
            st.session_state.pop(REFUSED, None)
            return None
        content = chosen.getvalue()
        objects = first_objects(content, most=SHOWN_LINES)
        columns = list(dict.fromkeys(name for found in objects for name in found))
        if objects:
            shown = [
                {name: json.dumps(v) if isinstance(v, list | dict) else v for name, v in o.items()} for o in objects
            ]
            st.caption(f"First lines of {chosen.name} ({units.size(len(content))})")
            st.dataframe(shown, hide_index=True, alt="First lines of the chosen file")
        by_hand = st.toggle(
            "Choose the columns myself",
            key=MAPPING_OPEN,
            help="Needed only where the service does not recognise the file.",
            disabled=not columns,
        )
        mapping = _columns_menus(columns) if by_hand and columns else None
        leave_out = st.checkbox(
            "Leave out bad rows",
            key="upload_leave_out",
            help="Rows that cannot be used are then listed in the report; otherwise the first one refuses the file.",
        )
        asked = st.button(
            "Upload", type="primary", icon=":material/upload:", disabled=by_hand and mapping is None, key="upload_go"
        )
        _show_refusal(content)
        if not asked:
            return None
        st.session_state.pop(REFUSED, None)
        try:
            with st.spinner("Uploading and checking every row…"):
                stored = client.upload(
                    io.BytesIO(content),
                    filename=chosen.name,
                    mapping=json.dumps(mapping) if mapping else None,
                    leave_out_bad=leave_out,
                    wait=len(content) <= LONG_BYTES,
                )
        except ApiError as error:
            st.session_state[REFUSED] = error
            st.rerun()
        return stored["id"]


def _show_refusal(content: bytes) -> None:
    error: ApiError | None = st.session_state.get(REFUSED)
    if error is None:
        return
    problems.show(error, title="Nothing was stored")
    line = named_line(content, error.message)
    if line is not None:
        st.caption(f"Line {line[0]} of the file:")
        st.code(line[1], language="json", wrap_lines=True)
    if error.param == "mapping" or error.code in ("unknown_shape", "invalid_mapping"):
        st.caption("Switch on “Choose the columns myself” and say which column holds question and answer.")
