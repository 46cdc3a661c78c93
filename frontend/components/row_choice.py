"""Choice of a dataset and of one of its rows by number."""

import random
from collections.abc import Sequence

import streamlit as st

from frontend.api import Client
from frontend.api.types import FileObject, FileRow
from frontend.components.choices import distinct_labels
from frontend.words import splits

WIDTH_PX = 140
OF_A_VERIFIER = ("try_dataset", "beside_dataset", "check_dataset")
"""Keys of the dataset menus on the verifier page, which follow each other."""


def dataset(
    files: Sequence[FileObject], *, label: str = "Dataset", key: str, first: str | None = None, like: Sequence[str] = ()
) -> FileObject:
    """Show a dataset menu. `first`: the id offered first. `like`: keys of other menus that follow this one."""
    by_id = {file["id"]: file for file in files}
    names = {file_id: file["filename"] for file_id, file in by_id.items()}
    chosen = st.selectbox(
        label,
        list(by_id),
        index=list(by_id).index(first if first in by_id else splits.default_dataset(files)),
        format_func=distinct_labels(names, more=lambda file_id: file_id[-6:]),
        key=key,
        on_change=lambda: st.session_state.update(dict.fromkeys(like, st.session_state[key])),
    )
    return by_id[chosen]


def number(file: FileObject, *, label: str = "Row", key: str) -> int:
    """Show a row number field, from 0; reset to 0 if another dataset has fewer rows."""
    last = max(file["rows"] - 1, 0)
    if st.session_state.get(key, 0) > last:
        st.session_state[key] = 0
    return int(st.number_input(label, 0, last, key=key, help=f"From 0 to {last:,}.", width=WIDTH_PX))


def row(
    client: Client, files: Sequence[FileObject], *, key: str, first: str | None = None, like: Sequence[str] = ()
) -> tuple[FileObject, FileRow] | None:
    """Show fields for dataset and row, and a button for a random row; None if the dataset is empty."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        file = dataset(files, key=f"{key}_dataset", first=first, like=like)
        chosen = number(file, key=f"{key}_row")
        st.button(
            "Random row", icon=":material/casino:", key=f"{key}_any", on_click=_choose_random, args=(f"{key}_row", file)
        )
    found = client.rows_from(file["id"], chosen, limit=1)
    if not found:
        st.info("This dataset has no such row.", icon=":material/inbox:")
        return None
    return file, found[0]


def _choose_random(key: str, file: FileObject) -> None:
    st.session_state[key] = random.randrange(max(file["rows"], 1))  # noqa: S311 - not security-relevant
