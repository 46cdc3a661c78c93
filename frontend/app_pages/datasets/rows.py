"""The rows of a dataset: a paged table with search, and one row in full.

Rows are counted from 0; the line on which a row starts in the file is counted from 1.
"""

from collections.abc import Sequence

import streamlit as st

from frontend.api import Client
from frontend.api.types import FileObject, FileReport, FileRow
from frontend.app_pages.datasets import row_editor
from frontend.components import row_view
from frontend.widgets import images, paging, problems, row_pager

ROWS_AT_ONCE = 50
ROW_PX = 35
MAX_SEARCH_CHARACTERS = 200
NUMBER, TABLE = "row_number", "rows_table"


def panel(client: Client, file: FileObject, report: FileReport) -> None:
    st.subheader("Rows", anchor=False)
    total = report["good"]
    if not total:
        st.info("This dataset has no rows.", icon=":material/inbox:")
        return
    search = st.text_input(
        "Text in question or reference",
        max_chars=MAX_SEARCH_CHARACTERS,
        placeholder="any",
        key="text",
        width=320,
        icon=":material/search:",
        bind="query-params",
        on_change=paging.to_first,
    )
    rows: list[FileRow] = []
    with problems.shown():
        rows = _found(client, file, search) if search else _in_order(client, file, total=total)
    number = int(
        st.number_input(
            "Show row",
            min_value=0,
            max_value=total - 1,
            value=0,
            key=NUMBER,
            width=220,
            help="Rows are counted from 0. You can also select a line of the table.",
        )
    )
    row = next((row for row in rows if row["row"] == number), None) or client.rows_by_number(file["id"], [number])[0]
    row_view.both_forms(row, image=images.loader(client, file["id"]))
    row_editor.panel(client, file, row, number=number, columns=report["columns"])


def select(table: str, numbers: Sequence[int]) -> None:
    """Show the row that was clicked in this table. `numbers`: row numbers by line."""
    lines = st.session_state[table].selection.rows
    if lines:
        st.session_state[NUMBER] = numbers[lines[0]]


def _in_order(client: Client, file: FileObject, *, total: int) -> list[FileRow]:
    key = f"rows_from_{file['id']}"
    start = row_pager.first_of(key, total=total, size=ROWS_AT_ONCE)
    rows = client.rows_from(file["id"], start, limit=ROWS_AT_ONCE)
    _table(rows)
    row_pager.show(key, total=total, size=ROWS_AT_ONCE, noun="row")
    return rows


def _found(client: Client, file: FileObject, search: str) -> list[FileRow]:
    page = client.file_rows(file["id"], search=search, after=paging.after(), limit=ROWS_AT_ONCE)
    if page["data"]:
        _table(page["data"])
    else:
        st.info("No row contains this text. Clear the search to see all rows.", icon=":material/filter_alt_off:")
    paging.turn(page, first="First", further="Next")
    return list(page["data"])


def _table(rows: Sequence[FileRow]) -> None:
    numbers = [row["row"] for row in rows]
    st.dataframe(
        row_view.table(rows),
        alt="Questions with their references",
        hide_index=True,
        on_select=lambda: select(TABLE, numbers),
        selection_mode="single-row",
        key=TABLE,
        placeholder="",
        column_config={
            "row": st.column_config.NumberColumn(width="small"),
            "question": st.column_config.TextColumn(width="large"),
            "answer": st.column_config.TextColumn(width="small"),
            "solution": st.column_config.TextColumn(width="medium"),
        },
        height=min(ROW_PX * (len(rows) + 1) + 3, 280),
    )
