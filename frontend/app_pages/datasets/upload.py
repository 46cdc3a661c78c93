"""The upload form: a file, a pasted table or typed rows; previewed, then stored."""

import io
import itertools
import json
import re

import streamlit as st

from frontend.api import ApiError, Client
from frontend.app_pages.datasets import drafts, preview
from frontend.app_pages.datasets.drafts import UploadDraft
from frontend.app_pages.datasets.preview import Chosen
from frontend.components import rights
from frontend.widgets import problems
from frontend.words import units
from frontend.words.markdown import plain

FILE, PASTE, WRITE = "File", "Paste table", "Type rows"
SOURCES = {FILE: drafts.from_disk, PASTE: drafts.pasted, WRITE: drafts.written}
PACKED = (b"PK", b"\x1f\x8b")
"""First bytes of ZIP and gzip, whose lines cannot be shown."""
REFUSED = "upload_refused"
LONG_BYTES = 8_000_000
"""The page does not wait for a larger file; the file's own page shows its progress."""


def named_line(content: bytes, message: str) -> tuple[int, str] | None:
    """Return the line that an error names (`line 17`), to show it with the error."""
    named = re.search(r"\bline (\d+)", message)
    if named is None or content.startswith(PACKED):
        return None
    number = int(named[1])
    line = next(itertools.islice(io.BytesIO(content), number - 1, number), None)
    return None if line is None else (number, line.decode(errors="replace").rstrip()[:2000])


def card(client: Client) -> str | None:
    """Show the form. Returns the id of a file stored in this run; its rows may still be being read."""
    with st.container(border=True):
        st.subheader("Add a dataset", anchor=False)
        refused = rights.refusal(client)
        if refused is not None:
            st.info(refused, icon=":material/visibility:")
            return None
        source = st.segmented_control(
            "Where the rows come from",
            list(SOURCES),
            default=FILE,
            required=True,
            key="upload_source",
            label_visibility="collapsed",
        )
        draft = SOURCES[source]()
        if draft is None:
            st.session_state.pop(REFUSED, None)
            return None
        ready, mapping = preview.panel(client, draft)
        leave_out = st.checkbox(
            "Leave out bad rows",
            key="upload_leave_out",
            help="Unusable rows are left out and listed in the report. Otherwise a single bad row refuses the whole "
            "file.",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            submitted = st.button(
                "Upload", type="primary", icon=":material/upload:", disabled=not ready, key="upload_go"
            )
            st.caption(f"{plain(draft.filename)}, {units.size(len(draft.content))}", width="content")
        _show_refusal(draft)
        return _store(client, draft, mapping=mapping, leave_out=leave_out) if submitted else None


def _store(client: Client, draft: UploadDraft, *, mapping: Chosen | None, leave_out: bool) -> str:
    st.session_state.pop(REFUSED, None)
    try:
        with st.spinner("Uploading and checking every row…"):
            stored = client.upload(
                io.BytesIO(draft.content),
                filename=draft.filename,
                mapping=json.dumps(mapping) if mapping else None,
                leave_out_bad=leave_out,
                wait=len(draft.content) <= LONG_BYTES,
            )
    except ApiError as error:
        st.session_state[REFUSED] = (draft.identity, error)
        st.rerun()
    st.session_state.pop(preview.KEPT, None)
    return stored["id"]


def _show_refusal(draft: UploadDraft) -> None:
    refused: tuple[str, ApiError] | None = st.session_state.get(REFUSED)
    if refused is None or refused[0] != draft.identity:
        return
    error = refused[1]
    problems.show(error, title="The dataset was not stored")
    line = named_line(draft.content, error.message)
    if line is not None:
        st.caption(f"Line {line[0]} of the file:")
        st.code(line[1], language="json", wrap_lines=True)
    if error.status == 400:
        st.caption("Correct the rows and try again, or tick “Leave out bad rows”.")
