"""The dataset rows that a job's completions answer: read once, shown as a question with its reference answer."""

from collections.abc import Collection

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import Row
from frontend.components import row_view
from frontend.components.job_feed import JobFeed
from frontend.widgets import images

KEPT = "asked_rows_kept"
AT_ONCE = 500
LINE_CHARACTERS = 160


def of(feed: JobFeed, client: Client, numbers: Collection[int]) -> dict[int, Row]:
    """These rows by number, without those that are gone. What was not read yet is read in place of a tick."""
    file_id = feed.job["training_file"]
    kept: tuple[str, dict[int, Row | None]] | None = st.session_state.get(KEPT)
    if kept is None or kept[0] != file_id:
        kept = (file_id, {})
        st.session_state[KEPT] = kept
    known = kept[1]
    missing = sorted(set(numbers) - set(known))
    for begin in range(0, len(missing), AT_ONCE):
        asked = missing[begin : begin + AT_ONCE]
        known.update(dict.fromkeys(asked) | _read(client, file_id, asked))
        feed.owed += 0 if feed.ended else 1
    return {number: row for number in numbers if (row := known[number]) is not None}


def _read(client: Client, file_id: str, numbers: list[int]) -> dict[int, Row]:
    """Empty where the dataset is gone."""
    try:
        rows = client.rows_by_number(file_id, numbers)
    except ApiError as error:
        if error.status == 404:
            return {}
        raise
    return {int(row["id"].removeprefix("row-")): row for row in rows}


def first_line(row: Row) -> str:
    """Of the question's words, cut to what fits a card."""
    lines = [line for line in row_view.question(row).splitlines() if line.strip() not in ("", "[image]")] or ["[image]"]
    line = lines[0].strip()
    cut = len(lines) > 1 or len(line) > LINE_CHARACTERS
    return f"{line[:LINE_CHARACTERS].rstrip()} …" if cut else line


def show(feed: JobFeed, client: Client, number: int) -> None:
    """The question and what would be right; nothing where the dataset is gone."""
    row = of(feed, client, [number]).get(number)
    if row is None:
        st.caption("The question is gone: the dataset of this job was deleted.")
        return
    with st.container(border=True, key="asked_row"):
        st.caption("Question")
        row_view.asked(row, picture=images.of(client, feed.job["training_file"]))
        if row["reference"]["answer"] is not None:
            st.caption("Right answer")
            st.text(row["reference"]["answer"])
