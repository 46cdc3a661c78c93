"""Rows that are not stored yet: chosen from the disk, pasted from a spreadsheet, written by hand."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

TYPES = ["jsonl", "json", "ndjson", "csv", "tsv", "xlsx", "parquet", "gz", "zip"]
PASTE_EXAMPLE = "question\tanswer\nWho approves a gasket?\tclerk\nWho approves a valve?\twarden"
COLUMNS = ("question", "answer", "solution")
EMPTY_ROWS = 4
HEAD_BYTES = 1_000_000
WHOLE = (b"PK", b"\x1f\x8b", b"PAR1", b"\xff\xfe", b"\xfe\xff", b"[")
"""How ZIP, gzip, Parquet, UTF-16 and lists of JSON begin: their first lines alone cannot be read."""


@dataclass(frozen=True, slots=True)
class UploadDraft:
    """Bytes to upload under a name. `identity` tells drafts apart without looking at every byte again."""

    content: bytes
    filename: str
    identity: str

    @property
    def head(self) -> bytes:
        """As much of it as tells how it would be read."""
        start = self.content[:64].lstrip()
        if len(self.content) <= HEAD_BYTES or start.startswith(WHOLE) or self.filename.lower().endswith(".json"):
            return self.content
        whole_lines = self.content[:HEAD_BYTES].rpartition(b"\n")[0]
        return whole_lines or self.content


def from_disk() -> UploadDraft | None:
    chosen = st.file_uploader(
        "Dataset file",
        type=TYPES,
        key="upload_file",
        help="CSV, Excel (.xlsx, its first sheet), JSONL, JSON, TSV or Parquet, also with gzip, or a ZIP of one table "
        "and a folder `images`. Files made for OpenAI, NeMo Gym, verl, ms-swift, TRL, verifiers or GSM8K are taken as "
        "they are; every column stays there for your verifier.",
    )
    return None if chosen is None else UploadDraft(chosen.getvalue(), chosen.name, chosen.file_id)


def pasted() -> UploadDraft | None:
    text = st.text_area(
        "Table",
        height=180,
        key="upload_pasted",
        placeholder=PASTE_EXAMPLE,
        help="Cells copied from a spreadsheet, or CSV. The first line names the columns. Ctrl+Enter when it is in.",
    )
    st.caption("Select the cells in your spreadsheet with their header line, copy, and paste them here.")
    return draft_of(text.encode(), name=_name("pasted rows"), suffix=suffix_of(text)) if text.strip() else None


def written() -> UploadDraft | None:
    st.caption(
        "A line a task: what the model is asked, and what is right. A worked solution is optional; only the teacher in "
        "training sees it. Click below the last line for another one."
    )
    rows = st.data_editor(
        [dict.fromkeys(COLUMNS, "") for _ in range(EMPTY_ROWS)],
        num_rows="dynamic",
        key="upload_written",
        column_order=COLUMNS,
        column_config={
            "question": st.column_config.TextColumn("Question", width="large"),
            "answer": st.column_config.TextColumn("Right answer", width="medium"),
            "solution": st.column_config.TextColumn("Worked solution (optional)", width="large"),
        },
        alt="Rows of a new dataset: question, right answer, worked solution",
    )
    lines = as_lines(rows)
    return draft_of(lines, name=_name("written rows"), suffix="jsonl") if lines else None


def draft_of(content: bytes, *, name: str, suffix: str) -> UploadDraft:
    return UploadDraft(content, f"{name}.{suffix}", hashlib.sha256(content + name.encode()).hexdigest())


def suffix_of(text: str) -> str:
    """What the pasted text most likely is; a table of one column says so by its name alone."""
    first = text.lstrip().partition("\n")[0]
    if first.startswith(("{", "[")):
        return "json" if first.startswith("[") else "jsonl"
    return "tsv" if "\t" in first else "csv"


def as_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    """JSONL of the rows in which something is written; a missing question or answer stays empty, and is told."""
    lines = []
    for row in rows:
        cells = {name: str(row[name]).strip() for name in COLUMNS if row.get(name) is not None}
        if any(cells.values()):
            cells = {"question": "", "answer": ""} | {name: text for name, text in cells.items() if text}
            lines.append(json.dumps(cells, ensure_ascii=False).encode() + b"\n")
    return b"".join(lines)


def _name(usual: str) -> str:
    said = st.text_input("Name of the dataset", value=usual, max_chars=100, key=f"upload_name_{usual}")
    return said.strip().replace("/", "-") or usual
