"""How a file would be read, before it is stored: the proposed shape, columns by menus, three rows before and after."""

import hashlib
import html
import json
import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Json
from frontend.api.types_files import FilePreview, PreviewedRow
from frontend.components import row_view
from frontend.pages.datasets.drafts import UploadDraft
from frontend.widgets import problems
from frontend.words import units

KEPT = "upload_preview"
NONE = "— none —"
PARTS = {
    "question": "Question",
    "answer": "Right answer",
    "hint": "Worked solution or hint",
    "images": "Images",
}
"""Parts of the mapping -> their menus; the first two have to be chosen."""
OPTIONAL = ("hint", "images")
BY_HAND = "upload_mapping_open"
IMAGE_PX = 140
CELL_CHARACTERS = 400
IMAGE_BYTES = re.compile(r"(data:image/[\w.+-]+;base64,)[A-Za-z0-9+/=…]{40,}")


def panel(client: Client, draft: UploadDraft) -> tuple[bool, dict[str, str] | None]:
    """Show what would become of it. Returns whether it can be uploaded, and the mapping where one was chosen."""
    proposed = _asked(client, draft, None)
    if isinstance(proposed, ApiError):
        problems.show(proposed, title="This cannot be read as a table")
        return False, None
    columns = hashlib.sha256(json.dumps(proposed["columns"]).encode()).hexdigest()[:16]
    with st.container(border=True, key="upload_preview_shown"):
        head = st.container()
        by_hand = proposed["shape"] is None or st.toggle(
            "Choose the columns myself",
            key=f"{BY_HAND}_{columns}",
            help="For files whose columns were not recognised, or were taken for something else.",
        )
        mapping = menus(proposed, key=columns) if by_hand else None
        if mapping is None:
            with head:
                _shape(proposed)
            _rows(proposed)
            return not by_hand, None
        mapped = _asked(client, draft, mapping)
        if isinstance(mapped, ApiError):
            problems.show(mapped, title="This cannot be read so")
            return False, None
        with head:
            _shape(mapped)
        if mapped["refused"]:
            st.warning(mapped["refused"]["message"], icon=":material/warning:")
        _rows(mapped)
        return mapped["refused"] is None, mapping


def menus(preview: FilePreview, *, key: str) -> dict[str, str] | None:
    """Which column is what, as proposed and changed; None while question and answer are not two of them."""
    taken = preview["read_from"]
    columns = list(dict.fromkeys([*preview["columns"], *filter(None, (taken.get(part) for part in PARTS))]))
    chosen: dict[str, str] = {}
    for place, (part, label) in zip(st.columns(len(PARTS)), PARTS.items(), strict=True):
        optional = part in OPTIONAL
        options = [NONE, *columns] if optional else columns
        given = taken.get(part) or (taken.get("solution") if part == "hint" else None)
        said = place.selectbox(
            label,
            options,
            index=options.index(given) if given in options else 0 if optional else None,
            placeholder="choose a column",
            key=f"map_{part}_{key}",
            help={
                "question": "What the model is asked.",
                "answer": "What is right. Your verifier compares the model's answer with it.",
                "hint": "Shown to the teacher only: how one gets to the answer.",
                "images": "Pictures that belong to the question: data URLs, or paths in the ZIP.",
            }[part],
        )
        if said and said != NONE:
            chosen[part] = said
    if not {"question", "answer"} <= set(chosen):
        return None
    if chosen["question"] == chosen["answer"]:
        st.warning(
            "Question and right answer are the same column, so the question would give the answer away: choose two.",
            icon=":material/warning:",
        )
        return None
    return chosen


def _asked(client: Client, draft: UploadDraft, mapping: dict[str, str] | None) -> FilePreview | ApiError:
    """The API's answer, asked for once for each file and mapping."""
    kept: dict[str, FilePreview | ApiError] = st.session_state.setdefault(KEPT, {})
    key = f"{draft.identity} {json.dumps(mapping, sort_keys=True)}"
    found = kept.get(key)
    if found is None or (isinstance(found, ApiError) and (found.status == 0 or found.status >= 500)):
        if not any(name.startswith(draft.identity) for name in kept):
            kept.clear()
        try:
            with st.spinner("Looking at it…"):
                found = client.preview(
                    draft.head, filename=draft.filename, mapping=json.dumps(mapping) if mapping else None
                )
        except ApiError as error:
            found = error
        kept[key] = found
    return found


def _shape(preview: FilePreview) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**How it will be read**")
        if preview["shape"] is None:
            st.badge("not recognised", color="orange", icon=":material/help:")
        else:
            name = "the columns as chosen" if preview["shape"] == "mapping" else preview["shape"]
            st.badge(name, color="green", icon=":material/check:")
            if preview["made_for"]:
                st.caption(f"as files for {preview['made_for']} are", width="content")
        st.caption(preview["format"].upper(), width="content")
    if preview["shape"] is None:
        st.caption("Its columns have names of their own: say below which one holds what.")
    if preview["bad"]:
        first = preview["problems"][0] if preview["problems"] else None
        said = f"{preview['bad']:,} of {units.count(preview['looked_at'], 'row')} looked at cannot be used"
        if first is not None:
            place = f"line {first['line']}" if first.get("line") is not None else f"row {first.get('row')}"
            said += f": {place} {first['message']}"
        st.warning(f"{said}.", icon=":material/warning:")


def _rows(preview: FilePreview) -> None:
    if not preview["rows"]:
        return
    before, after = st.columns(2)
    before.caption("As written")
    after.caption("As it will be used")
    for row in preview["rows"]:
        before, after = st.columns(2)
        with before.container(border=True, height="stretch"):
            st.html(terms(row["item"]))
        with after.container(border=True, height="stretch"):
            _after(row, known=preview["shape"] is not None)


def _after(row: PreviewedRow, *, known: bool) -> None:
    normal = row["normal"]
    if normal is None:
        st.caption(
            "This row cannot be used as it is." if known else "Nothing yet: choose the columns of question and answer."
        )
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
    """The parts of a row in the words of the page."""
    asked = {"user": "Question", "system": "Instructions", "developer": "Instructions", "assistant": "Answered before"}
    found: dict[str, str] = {}
    for message in normal["messages"]:
        label = asked.get(str(message.get("role")), str(message.get("role")))
        text = row_view.text_of(message.get("content"))
        found[label] = f"{found[label]}\n{text}" if label in found else text
    reference, hint = normal["reference"], normal["hint"] or {}
    found["Right answer"] = reference.get("answer") or "known to the verifier alone"
    if reference.get("solution"):
        found["Worked solution"] = str(reference["solution"])
    if hint.get("text") and hint["text"] not in (reference.get("answer"), reference.get("solution")):
        found["Hint for the teacher"] = hint["text"]
    return found


def terms(item: Json) -> str:
    """HTML: a line a column with its value, escaped; long values are cut."""
    lines = []
    for name, value in item.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        text = IMAGE_BYTES.sub(r"\1… (the bytes of an image)", text)
        cut = text if len(text) <= CELL_CHARACTERS else f"{text[:CELL_CHARACTERS]}…"
        lines.append(f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(cut)}</dd>")
    return f'<dl class="terms">{"".join(lines)}</dl>'
