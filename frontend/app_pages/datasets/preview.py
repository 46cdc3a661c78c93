"""The preview of a file before it is stored: its format, menus for the columns, three rows before and after."""

import hashlib
import html
import json
import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import FilePreview, Json, PreviewedRow
from frontend.app_pages.datasets.drafts import UploadDraft
from frontend.components import row_view
from frontend.widgets import problems
from frontend.words import markdown
from frontend.words.markdown import sentence

Chosen = dict[str, str | int]
"""Content of the form field `mapping`: columns by part, and where the table begins."""
KEPT = "upload_preview"
NONE = "— none —"
PARTS = {
    "question": "Question",
    "answer": "Right answer",
    "hint": "Worked solution or hint",
    "context": "Text that is asked about",
    "images": "Images",
}
"""Parts of the mapping -> labels of their menus; the first two are required."""
OPTIONAL = ("hint", "context", "images")
BY_HAND = "upload_mapping_open"
UNKNOWN = "unknown_shape"
MAX_LINE = 1_048_576
IMAGE_PX = 140
CELL_CHARACTERS = 400
IMAGE_BYTES = re.compile(r"(data:image/[\w.+-]+;base64,)[A-Za-z0-9+/=…]{40,}")


def panel(client: Client, draft: UploadDraft) -> tuple[bool, Chosen | None]:
    """Show the preview. Returns whether the file can be uploaded, and the mapping if one was chosen."""
    guessed = _preview_of(client, draft, None)
    if isinstance(guessed, ApiError):
        problems.show(guessed, title="This file cannot be read as a table")
        return False, None
    with st.container(border=True, key="upload_preview_shown"):
        head = st.container()
        layout = _layout(client, draft, guessed)
        proposed = _preview_of(client, draft, layout) if layout else guessed
        if isinstance(proposed, ApiError):
            problems.show(proposed, title="The table does not begin there")
            return False, None
        columns = hashlib.sha256(json.dumps(proposed["columns"]).encode()).hexdigest()[:16]
        by_hand = proposed["shape"] is None or st.toggle(
            "Choose the columns myself",
            key=f"{BY_HAND}_{columns}",
            help="For files whose columns were not recognised, or were recognised wrongly.",
        )
        mapping = menus(proposed, key=columns) if by_hand and proposed["columns"] else None
        if mapping is None:
            with head:
                _shape(proposed)
            _rows(proposed)
            return not by_hand, layout or None
        chosen: Chosen = {**layout, **mapping}
        mapped = _preview_of(client, draft, chosen)
        if isinstance(mapped, ApiError):
            problems.show(mapped, title="The file cannot be read with these columns")
            return False, None
        with head:
            _shape(mapped)
        if mapped["refused"]:
            st.warning(sentence(mapped["refused"]["message"]), icon=":material/warning:")
        _rows(mapped)
        return mapped["refused"] is None, chosen


def _layout(client: Client, draft: UploadDraft, guessed: FilePreview) -> Chosen:
    """Show where the table begins, to be changed. Returns what was chosen otherwise than guessed."""
    if guessed["header_row"] is None:
        return {}
    chosen: Chosen = {}
    with st.expander("Where the table begins", icon=":material/grid_on:", expanded=bool(guessed["refused"])):
        line, sheet = guessed["header_row"], guessed["sheet"]
        if len(guessed["sheets"]) > 1:
            sheets = guessed["sheets"]
            sheet = st.selectbox("Sheet", sheets, index=sheets.index(sheet or ""), key=f"sheet_{draft.identity}")
            if sheet != guessed["sheet"]:
                chosen["sheet"] = sheet
                other = _preview_of(client, draft, chosen)
                line = line if isinstance(other, ApiError) else other["header_row"] or 1
        header_row = st.number_input(
            "Line with the column names",
            min_value=1,
            max_value=MAX_LINE,
            value=line,
            key=f"header_row_{draft.identity}_{sheet}",
            help="Lines above it are not read.",
        )
    return chosen if header_row == line else {**chosen, "header_row": int(header_row)}


def menus(preview: FilePreview, *, key: str) -> dict[str, str] | None:
    """Show a menu per part. Returns the columns; None until question and answer are two different ones."""
    taken = preview["read_from"]
    columns = list(dict.fromkeys([*preview["columns"], *filter(None, (taken.get(part) for part in PARTS))]))
    chosen: dict[str, str] = {}
    for place, (part, label) in zip(st.columns(len(PARTS)), PARTS.items(), strict=True):
        optional = part in OPTIONAL
        options = [NONE, *columns] if optional else columns
        given = taken.get(part) or (taken.get("solution") if part == "hint" else None)
        column = place.selectbox(
            label,
            options,
            index=options.index(given) if given in options else 0 if optional else None,
            placeholder="choose a column",
            key=f"map_{part}_{key}",
            help={
                "question": "The question to the model.",
                "answer": "Your verifier compares the model's answer with it.",
                "hint": "How to get to the answer. Shown only to the teacher.",
                "context": "Put after the question, such as the article that it is about.",
                "images": "Images of the question: data URLs, or paths in the ZIP.",
            }[part],
        )
        if column and column != NONE:
            chosen[part] = column
    if not {"question", "answer"} <= set(chosen):
        return None
    if chosen["question"] == chosen["answer"]:
        st.warning(
            "Question and right answer are the same column, so the question would contain the answer. Choose two "
            "columns.",
            icon=":material/warning:",
        )
        return None
    return chosen


def _preview_of(client: Client, draft: UploadDraft, mapping: Chosen | None) -> FilePreview | ApiError:
    """Return the API's preview, requested once per file and mapping."""
    kept: dict[str, FilePreview | ApiError] = st.session_state.setdefault(KEPT, {})
    key = f"{draft.identity} {json.dumps(mapping, sort_keys=True)}"
    found = kept.get(key)
    if found is None or (isinstance(found, ApiError) and (found.status == 0 or found.status >= 500)):
        if not any(name.startswith(draft.identity) for name in kept):
            kept.clear()
        try:
            with st.spinner("Reading the file…"):
                found = client.preview(
                    draft.head, filename=draft.filename, mapping=json.dumps(mapping) if mapping else None
                )
        except ApiError as error:
            found = error
        kept[key] = found
    return found


def _shape(preview: FilePreview) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Preview**")
        if preview["shape"] is None:
            st.badge("not recognised", color="orange", icon=":material/help:")
        else:
            name = "chosen columns" if preview["shape"] == "mapping" else preview["shape"]
            st.badge(name, color="green", icon=":material/check:")
            if preview["made_for"]:
                st.caption(f"format of {preview['made_for']}", width="content")
        st.caption(preview["format"].upper(), width="content")
    if preview["shape"] is None and preview["refused"] and preview["refused"]["code"] != UNKNOWN:
        st.warning(sentence(preview["refused"]["message"]), icon=":material/warning:")
    elif preview["shape"] is None and preview["columns"]:
        st.caption("The column names are not recognised. Choose the columns below.")
    for note in preview["notes"]:
        st.caption(f":material/info: {markdown.plain(note)}")
    if preview["bad"]:
        first = preview["problems"][0] if preview["problems"] else None
        one = preview["looked_at"] == 1
        text = "The row" if one else f"{preview['bad']:,} of the first {preview['looked_at']:,} rows"
        text += " cannot be used"
        if first is not None:
            place = f"line {first['line']}" if first.get("line") is not None else f"row {first.get('row')}"
            text += f": {place} {first['message']}"
        st.warning(f"{text}.", icon=":material/warning:")


def _rows(preview: FilePreview) -> None:
    if not preview["rows"]:
        return
    before, after = st.columns(2)
    before.caption("In the file")
    after.caption("As a training row")
    for row in preview["rows"]:
        before, after = st.columns(2)
        with before.container(border=True, height="stretch"):
            st.html(terms(row["item"]))
        with after.container(border=True, height="stretch"):
            _after(row, known=preview["shape"] is not None)


def _after(row: PreviewedRow, *, known: bool) -> None:
    normal = row["normal"]
    if normal is None:
        st.caption("This row cannot be used." if known else "Choose the columns of question and answer.")
        return
    st.html(terms(after_terms(normal)))
    shown = [image for image in normal["images"] if image]
    if shown:
        with st.container(horizontal=True):
            for image in shown:
                st.image(image, width=IMAGE_PX)
    if len(shown) < len(normal["images"]):
        st.caption("A large image is not shown here.")


def after_terms(normal: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts of a row by their labels."""
    roles = {"user": "Question", "system": "Instructions", "developer": "Instructions", "assistant": "Earlier answer"}
    roles |= {"tool": "Answer of a tool"}
    found: dict[str, str] = {}
    if normal["tools"]:
        found["Tools"] = ", ".join(tool["function"]["name"] for tool in normal["tools"])
    for message in normal["messages"]:
        label = roles.get(str(message.get("role")), str(message.get("role")))
        text = "\n".join(filter(None, [row_view.text_of(message.get("content")), *row_view.calls_of(message)]))
        found[label] = f"{found[label]}\n{text}" if label in found else text
    reference, hint = normal["reference"], normal["hint"] or {}
    found["Right answer"] = reference.get("answer") or "known only to the verifier"
    if reference.get("solution"):
        found["Worked solution"] = str(reference["solution"])
    if hint.get("text") and hint["text"] not in (reference.get("answer"), reference.get("solution")):
        found["Hint for the teacher"] = hint["text"]
    return found


def terms(item: Json) -> str:
    """Return HTML with one line per column and its value, escaped; long values are truncated."""
    lines = []
    for name, value in item.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        text = IMAGE_BYTES.sub(r"\1… (image data)", text)
        cut = text if len(text) <= CELL_CHARACTERS else f"{text[:CELL_CHARACTERS]}…"
        lines.append(f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(cut)}</dd>")
    return f'<dl class="terms">{"".join(lines)}</dl>'
