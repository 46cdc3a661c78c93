"""The dataset rows that a job's completions answer: read once, shown as question and reference answer."""

from collections.abc import Collection

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import FileRow
from frontend.components import row_view
from frontend.components.job_feed import JobFeed
from frontend.widgets import images

KEPT = "asked_rows_kept"
AT_ONCE = 500
LINE_CHARACTERS = 160


def rows_by_number(feed: JobFeed, client: Client, numbers: Collection[int]) -> dict[int, FileRow]:
    """Return these rows by number, without deleted ones. Each read counts as a tick of the feed."""
    file_id = feed.job["training_file"]
    kept: tuple[str, dict[int, FileRow | None]] | None = st.session_state.get(KEPT)
    if kept is None or kept[0] != file_id:
        kept = (file_id, {})
        st.session_state[KEPT] = kept
    known = kept[1]
    missing = sorted(set(numbers) - set(known))
    for begin in range(0, len(missing), AT_ONCE):
        chunk = missing[begin : begin + AT_ONCE]
        known.update(dict.fromkeys(chunk) | _read(client, file_id, chunk))
        feed.ticks_to_skip += 0 if feed.ended else 1
    return {number: row for number in numbers if (row := known[number]) is not None}


def _read(client: Client, file_id: str, numbers: list[int]) -> dict[int, FileRow]:
    """Read rows; empty if the dataset was deleted."""
    try:
        rows = client.rows_by_number(file_id, numbers)
    except ApiError as error:
        if error.status == 404:
            return {}
        raise
    return {int(row["id"].removeprefix("row-")): row for row in rows}


def first_line(row: FileRow) -> str:
    """Return the first line of the question's text, cut to fit a card."""
    lines = [line for line in row_view.question(row).splitlines() if line.strip() not in ("", "[image]")] or ["[image]"]
    line = lines[0].strip()
    cut = len(lines) > 1 or len(line) > LINE_CHARACTERS
    return f"{line[:LINE_CHARACTERS].rstrip()} …" if cut else line


def show(feed: JobFeed, client: Client, number: int, *, hint: str | None) -> None:
    """Show the question and its reference answer, or a note if the dataset was deleted; and the hint of practice."""
    _question(feed, client, number)
    if hint is not None:
        with st.container(border=True, key="practice_hint"):
            st.caption("Practice: this stood after the question in the prompt")
            st.text(f"Reference:\n{hint}")


def _question(feed: JobFeed, client: Client, number: int) -> None:
    row = rows_by_number(feed, client, [number]).get(number)
    if row is None:
        st.caption("The question is not available: the dataset of this job was deleted.")
        return
    with st.container(border=True, key="asked_row"):
        st.caption("Question")
        row_view.show_question(row, image=images.loader(client, feed.job["training_file"]))
        if row["reference"]["answer"] is not None:
            st.caption("Right answer")
            st.text(row["reference"]["answer"])
