"""Rows that an instruction shows as examples: chosen by seed, neither trained nor measured on."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.datasets.analysis.leakage import Row, seeded_order
from backend.datasets.rows.rows import NormalRow
from backend.db.files import DatasetRow, File
from backend.errors import AppError
from backend.jobs.resolve import X_RLSD
from backend.verifiers.instructions import Example

MAX_CHARACTERS = 600
"""Of a row's question and answer together: longer rows are not shown as examples."""
TRIED = 200
"""Rows of a file that are looked at."""
PARAM = f"{X_RLSD}.example_rows"


def choose_examples(session: Session, file: File, *, count: int, seed: int) -> list[NormalRow]:
    """Return up to `count` short rows of text with an answer or a worked solution.

    They come from the end of the order whose beginning a job with this seed holds out, so that its held-out rows stay
    the same.
    """
    hashes = session.execute(
        select(DatasetRow.number, DatasetRow.row_hash).where(DatasetRow.file_id == file.id).order_by(DatasetRow.number)
    ).all()
    numbers = [row.number for row in reversed(seeded_order(hashes, seed=seed))][:TRIED]
    stored = session.scalars(select(DatasetRow).where(DatasetRow.file_id == file.id, DatasetRow.number.in_(numbers)))
    found = {row.number: NormalRow.from_json(row.normal, number=row.number, line=row.line) for row in stored}
    usable = (found[number] for number in numbers if example_of(found[number]) is not None)
    chosen: list[NormalRow] = []
    for row in usable:
        if len(chosen) == count:
            break
        if row.row_hash not in {each.row_hash for each in chosen}:
            chosen.append(row)
    return chosen


def example_of(row: NormalRow) -> Example | None:
    """Return the row as an example; None if it has images, several turns, no answer, or too much text."""
    return example(row.messages, answer=row.reference.answer, solution=row.reference.solution)


def example(messages: Sequence[Mapping[str, Any]], *, answer: str | None, solution: str | None) -> Example | None:
    """Return a row's messages and references as an example, under the same conditions."""
    asked = [message for message in messages if message["role"] != "system"]
    if len(asked) != 1 or not isinstance(asked[0]["content"], str) or (answer is None and solution is None):
        return None
    question = asked[0]["content"]
    if len(question) + len(answer or "" if solution is None else solution) > MAX_CHARACTERS:
        return None
    return Example(question, answer, solution)


def without_examples(rows: Sequence[Row], numbers: Sequence[int]) -> list[Row]:
    """Return the rows, in the file's order, without those of these numbers and rows equal to them.

    Raises AppError if there is no such row, or none is left.
    """
    if not numbers:
        return list(rows)
    beyond = next((number for number in numbers if number >= len(rows)), None)
    if beyond is not None:
        raise AppError(
            f"example_rows: there is no row {beyond}: the file has {len(rows)} rows, counted from 0.",
            code="row_not_found",
            param=PARAM,
        )
    shown = {rows[number].row_hash for number in numbers}
    left = [row for row in rows if row.row_hash not in shown]
    if not left:
        raise AppError(
            "example_rows: all rows are examples, so none is left to train on: show fewer rows.",
            code="too_few_rows",
            param=PARAM,
        )
    return left
