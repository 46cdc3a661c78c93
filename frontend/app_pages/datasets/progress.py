"""A file without usable rows: its progress while it is read, or why it could not be read."""

import streamlit as st

from frontend.api import Client
from frontend.api.types import FileObject
from frontend.components import check_progress
from frontend.words import units


def show_if_unread(client: Client, file: FileObject) -> bool:
    """Show the progress or the error. False if the rows have been read."""
    if file["status"] == "error":
        st.error(file["status_details"] or "Upload it again.", title="This file could not be read")
        st.caption("It is deleted automatically after a day.")
    elif file["status"] == "uploaded":
        st.info("The rows are being read. You can leave this page meanwhile.", icon=":material/hourglass_top:")
        check_progress.poll(lambda: _refresh(client, file["id"]))
    return file["status"] != "processed"


def _refresh(client: Client, file_id: str) -> bool:
    file = client.file(file_id)
    progress = file["progress"] or {"bytes_read": 0, "bytes_total": file["bytes"], "rows": 0}
    read, total = progress["bytes_read"], progress["bytes_total"]
    check_progress.bar(
        read, total, f"{units.count(progress['rows'], 'row')}, {units.size(read)} of {units.size(total)}"
    )
    return file["status"] == "uploaded"
