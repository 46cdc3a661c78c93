"""The row editor: by the columns that are read, or as JSON.

Changes are collected on the page, then saved together as a new version.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import FileObject, FileRow, Json
from frontend.components import rights
from frontend.session import drafts
from frontend.widgets import problems
from frontend.words import units

GATHERED = "edits_gathered"
PARTS = {"question": "Question", "answer": "Right answer", "solution": "Worked solution", "hint": "Hint"}
"""Titles of the fields, in their order."""
MAX_CHARACTERS = 100_000
"""A longer row, for instance with images, cannot be edited in a text field."""


@dataclass(slots=True)
class EditorContent:
    """Unsaved changes: the new item by row (None: deleted), and rows to add."""

    file_id: str
    changed: dict[int, Json | None] = field(default_factory=dict)
    added: list[Json] = field(default_factory=list)

    def edits(self) -> list[Json]:
        return [
            *(
                {"op": "delete", "row": row} if item is None else {"op": "replace", "row": row, "item": item}
                for row, item in sorted(self.changed.items())
            ),
            *({"op": "append", "item": item} for item in self.added),
        ]

    def words(self) -> list[str]:
        return [
            *(f"Row {row}: {'deleted' if item is None else 'rewritten'}" for row, item in sorted(self.changed.items())),
            *(f"New row {place}" for place, _ in enumerate(self.added, start=1)),
        ]


def unsaved_changes(file_id: str) -> EditorContent:
    """Return the unsaved changes of this dataset; opening another one discards them."""
    drafts.restore(f"rows of {file_id}")
    kept: EditorContent | None = st.session_state.get(GATHERED)
    if kept is None or kept.file_id != file_id:
        kept = st.session_state[GATHERED] = EditorContent(file_id)
    drafts.keep(f"rows of {file_id}", {GATHERED: kept})
    return kept


def panel(client: Client, file: FileObject, row: FileRow, *, number: int, columns: Mapping[str, str | None]) -> None:
    """Show the editor of this row and the unsaved changes. `columns`: the column of each part."""
    pending = unsaved_changes(file["id"])
    with st.expander("Edit this row", icon=":material/edit:", expanded=bool(pending.edits())):
        st.caption("Edits are saved as a new version. The current version does not change.")
        item = pending.changed.get(number) or row["item"]
        if len(json.dumps(item, ensure_ascii=False)) > MAX_CHARACTERS:
            st.info(
                "This row is too long to edit here. Download the dataset, edit it and upload it again.",
                icon=":material/info:",
            )
        else:
            _editor(client, pending, item, number=number, columns=columns)
        with st.container(horizontal=True):
            if rights.button(client, "Delete this row", icon=":material/delete:", key="row_delete"):
                pending.changed[number] = None
                st.rerun()
            if number in pending.changed and st.button("Undo", icon=":material/undo:", key="row_undo"):
                del pending.changed[number]
                st.rerun()
        if pending.edits():
            _save(client, file, pending)


def _editor(
    client: Client, pending: EditorContent, given: Json, *, number: int, columns: Mapping[str, str | None]
) -> None:
    key = f"{pending.file_id}_{number}"
    texts: dict[str, str] = {}
    for part in (*PARTS, *(columns.keys() - PARTS.keys())):
        column = columns.get(part)
        if column and column not in texts.values() and isinstance(given.get(column), str):
            texts[part] = column
    if texts and not st.toggle("As JSON", key=f"row_as_json_{key}", help="All columns of the row."):
        item: Json | None = given | {
            column: st.text_area(PARTS.get(part, part.capitalize()), given[column], key=f"row_{part}_{key}")
            for part, column in texts.items()
        }
    else:
        written = json.dumps(given, ensure_ascii=False, indent=2)
        item = _item(st.text_area("The row, as JSON", written, height=260, key=f"row_json_{key}"))
    with st.container(horizontal=True):
        if rights.button(client, "Keep this change", icon=":material/check:", key="row_keep", disabled=item is None):
            pending.changed[number] = item
            st.rerun()
        if rights.button(client, "Add as a new row", icon=":material/add:", key="row_add", disabled=item is None):
            pending.added.append(item or {})
            st.rerun()


def _item(text: str) -> Json | None:
    try:
        item = json.loads(text)
    except (ValueError, RecursionError) as error:
        st.warning(f"This is not valid JSON: {error}", icon=":material/warning:")
        return None
    if not isinstance(item, dict):
        st.warning('A row must be a JSON object, such as {"question": "…", "answer": "…"}.', icon=":material/warning:")
        return None
    return item


def _save(client: Client, file: FileObject, pending: EditorContent) -> None:
    words = pending.words()
    st.markdown(f"**{units.count(len(words), 'unsaved change')}**")
    st.caption("; ".join(words[:20]) + ("; …" if len(words) > 20 else "."))
    name = st.text_input(
        "Name of the new version", placeholder="chosen automatically", max_chars=200, key="version_name"
    )
    with st.container(horizontal=True):
        if st.button("Save as a new version", type="primary", icon=":material/save:", key="version_save"):
            try:
                with st.spinner("Creating the new version…"):
                    made = client.create_version(file["id"], edits=pending.edits(), filters=[], filename=name or None)
            except ApiError as error:
                problems.show(error, title="The new version was not created")
                return
            _forget(file["id"])
            st.switch_page("app_pages/datasets/page.py", query_params={"dataset": made["id"]})
        if st.button("Discard all changes", key="version_forget"):
            _forget(file["id"])
            st.rerun()


def _forget(file_id: str) -> None:
    st.session_state.pop(GATHERED, None)
    drafts.forget(f"rows of {file_id}")
