"""Rows to upload: from a file, pasted from a spreadsheet, or typed in."""

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
"""First bytes of ZIP, gzip, Parquet, UTF-16 and JSON lists, which cannot be previewed by their first lines alone."""


@dataclass(frozen=True, slots=True)
class UploadDraft:
    """Bytes to upload under a name. `identity` distinguishes drafts without reading every byte again."""

    content: bytes
    filename: str
    identity: str

    @property
    def head(self) -> bytes:
        """The part of the content that a preview needs."""
        start = self.content[:64].lstrip()
        if len(self.content) <= HEAD_BYTES or start.startswith(WHOLE) or self.filename.lower().endswith(".json"):
            return self.content
        return self.content[: _end_of_line(self.content, after=HEAD_BYTES, quoted=not start.startswith(b"{"))]


def _end_of_line(content: bytes, *, after: int, quoted: bool) -> int:
    """Return the offset behind the line at offset `after`. In `quoted` text, a line break in a cell ends no line."""
    end, quotes = after, content.count(b'"', 0, after)
    while (line_break := content.find(b"\n", end)) >= 0:
        quotes += content.count(b'"', end, line_break)
        end = line_break + 1
        if not quoted or quotes % 2 == 0:
            return end
    return len(content)


def from_disk() -> UploadDraft | None:
    chosen = st.file_uploader(
        "Dataset file",
        type=TYPES,
        key="upload_file",
        help="CSV, Excel (.xlsx), JSONL, JSON, TSV or Parquet, optionally gzipped, or a ZIP with one "
        "table and a folder `images`. Files for OpenAI, NeMo Gym, verl, ms-swift, TRL, verifiers, GSM8K, "
        "ShareGPT or Alpaca are recognised; all columns stay available to your verifier.",
    )
    return None if chosen is None else UploadDraft(chosen.getvalue(), chosen.name, chosen.file_id)


def pasted() -> UploadDraft | None:
    text = st.text_area(
        "Table",
        height=180,
        key="upload_pasted",
        placeholder=PASTE_EXAMPLE,
        help="Cells copied from a spreadsheet, or CSV. The first line contains the column names. Press Ctrl+Enter to "
        "apply.",
    )
    st.caption("In your spreadsheet, copy the cells with their header line, and paste them here.")
    return draft_of(text.encode(), name=_name("pasted rows"), suffix=suffix_of(text)) if text.strip() else None


def written() -> UploadDraft | None:
    st.caption(
        "One task per line: a question and its right answer. A worked solution is optional; only the teacher sees it "
        "in training. Click below the last line to add one."
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
    """Guess the format of the pasted text."""
    first = text.lstrip().partition("\n")[0]
    if first.startswith(("{", "[")):
        return "json" if first.startswith("[") else "jsonl"
    return "tsv" if "\t" in first else "csv"


def as_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return the non-empty rows as JSONL; a missing question or answer stays empty, which the preview reports."""
    lines = []
    for row in rows:
        cells = {name: str(row[name]).strip() for name in COLUMNS if row.get(name) is not None}
        if any(cells.values()):
            cells = {"question": "", "answer": ""} | {name: text for name, text in cells.items() if text}
            lines.append(json.dumps(cells, ensure_ascii=False).encode() + b"\n")
    return b"".join(lines)


def _name(usual: str) -> str:
    name = st.text_input("Name of the dataset", value=usual, max_chars=100, key=f"upload_name_{usual}")
    return name.strip().replace("/", "-") or usual
