"""A file whose rows cannot be used, or not yet: how far it is read, or why it could not be."""

import streamlit as st

from frontend import units
from frontend.client import Client
from frontend.components import problems
from frontend.shapes import DataFile

POLL_S = 1.0


def unfinished(client: Client, file: DataFile) -> bool:
    """Show it; False where there is nothing to wait for, the rows have been read."""
    if file["status"] == "error":
        st.error(file["status_details"] or "Upload it again.", title="This file could not be read")
        st.caption("It is deleted after a day.")
    elif file["status"] == "uploaded":
        st.info("Its rows are being read. You can leave this page meanwhile.", icon=":material/hourglass_top:")
        st.fragment(_wait, run_every=POLL_S)(client, file["id"])
    return file["status"] != "processed"


def _wait(client: Client, file_id: str) -> None:
    with problems.shown():
        file = client.file(file_id)
        if file["status"] != "uploaded":
            st.rerun()
        progress = file["progress"] or {"bytes_read": 0, "bytes_total": file["bytes"], "rows": 0}
        read, total = progress["bytes_read"], max(1, progress["bytes_total"])
        so_far = f"{units.count(progress['rows'], 'row')}, {units.size(read)} of {units.size(total)}"
        st.progress(min(1.0, read / total), text=so_far)
