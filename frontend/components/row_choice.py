"""Which dataset, and which of its rows by number: any of them, not only the first ones."""

import random
from collections.abc import Sequence

import streamlit as st

from frontend.api import Client
from frontend.api.types import DataFile, Row
from frontend.components.choices import told_apart
from frontend.words import starter

WIDTH_PX = 140
OF_A_VERIFIER = ("try_dataset", "beside_dataset", "check_dataset")
"""Keys of the menus on the page of a verifier: what is tried there is tried on the same data."""


def dataset(
    files: Sequence[DataFile], *, label: str = "Dataset", key: str, first: str | None = None, like: Sequence[str] = ()
) -> DataFile:
    """`first`: the id of the one that is offered first. `like`: keys of other such menus, which follow this one."""
    by_id = {file["id"]: file for file in files}
    names = {file_id: file["filename"] for file_id, file in by_id.items()}
    chosen = st.selectbox(
        label,
        list(by_id),
        index=list(by_id).index(first if first in by_id else starter.offered_first(files)),
        format_func=told_apart(names, more=lambda file_id: file_id[-6:]),
        key=key,
        on_change=lambda: st.session_state.update(dict.fromkeys(like, st.session_state[key])),
    )
    return by_id[chosen]


def number(file: DataFile, *, label: str = "Row", key: str) -> int:
    """From 0; back to it where another dataset has fewer rows."""
    last = max(file["rows"] - 1, 0)
    if st.session_state.get(key, 0) > last:
        st.session_state[key] = 0
    return int(st.number_input(label, 0, last, key=key, help=f"From 0 to {last:,}.", width=WIDTH_PX))


def row(
    client: Client, files: Sequence[DataFile], *, key: str, first: str | None = None, like: Sequence[str] = ()
) -> tuple[DataFile, Row] | None:
    """Dataset and row by two fields, or any row by a press; None where the dataset has none."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        file = dataset(files, key=f"{key}_dataset", first=first, like=like)
        chosen = number(file, key=f"{key}_row")
        st.button("Any row", icon=":material/casino:", key=f"{key}_any", on_click=_any, args=(f"{key}_row", file))
    found = client.rows_from(file["id"], chosen, limit=1)
    if not found:
        st.info("This dataset has no such row.", icon=":material/inbox:")
        return None
    return file, found[0]


def _any(key: str, file: DataFile) -> None:
    st.session_state[key] = random.randrange(max(file["rows"], 1))  # noqa: S311 - nothing hangs on it
