"""Rows in the normal form (SHAPES, Dataset rows), whatever file they came from. The original row stays in `item`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.formats.json_lines import BadLineError, RawRow
from backend.datasets.formats.problems import Problem, Report
from backend.datasets.rows.images import ImageStore, without_images
from backend.datasets.rows.messages import messages_of, with_images
from backend.datasets.rows.recognise import REFERENCES, ColumnMapping, Shape, recognise, value_at
from backend.datasets.rows.source import Table, opened
from backend.db.files import DatasetRow, File
from backend.errors import not_found

HINTS = ("teacher_prompt", "privileged_context", "trajectory")
"""Columns that hold a hint for the teacher, stronger than solution and answer, in this order."""
REFERENCE_HINTS = ("trajectory", "solution", "answer")
"""Sources of a hint that are references as well; any other was written for the teacher."""
ANSWER_MARK = "####"


@dataclass(frozen=True, slots=True)
class Reference:
    """`answer`: what is right, None where only the verifier knows. `solution`: the worked way to it."""

    answer: str | None
    solution: str | None = None
    trajectory: str | None = None


@dataclass(frozen=True, slots=True)
class HintText:
    """What a teacher may be shown, and the column it was taken from."""

    text: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalRow:
    """`number` counts the rows of the file from 0, `line` its lines from 1 (rows, in a table without lines).

    `images`: SHA-256 of those that the image parts of `messages` show, in order. `pictures`: their encoded bytes, where
    they were loaded.
    """

    number: int
    line: int
    messages: list[dict[str, Any]]
    reference: Reference
    hint: HintText | None
    item: dict[str, Any]
    row_hash: str
    images: tuple[str, ...] = ()
    split: str = "train"
    pictures: tuple[bytes, ...] = field(default=(), compare=False, repr=False)

    @property
    def privileged(self) -> str | None:
        """What the row itself says its teacher is to be told; None where the hint is one of the references."""
        return None if self.hint is None or self.hint.source in REFERENCE_HINTS else self.hint.text

    @property
    def id(self) -> str:
        return f"row-{self.number}"

    @property
    def item_without_images(self) -> dict[str, Any]:
        """The original row for those who read words: the bytes of its images left out."""
        return {key: without_images(value) for key, value in self.item.items()}

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "messages": self.messages,
            "images": list(self.images),
            "reference": asdict(self.reference),
            "hint": None if self.hint is None else asdict(self.hint),
            "item": self.item,
            "split": self.split,
            "row_hash": self.row_hash,
        }

    @classmethod
    def from_json(cls, normal: Mapping[str, Any], *, number: int, line: int) -> "NormalRow":
        return cls(
            number=number,
            line=line,
            messages=normal["messages"],
            reference=Reference(**normal["reference"]),
            hint=None if normal["hint"] is None else HintText(**normal["hint"]),
            item=normal["item"],
            row_hash=normal["row_hash"],
            images=tuple(normal["images"]),
            split=normal["split"],
        )


def normal_rows(
    table: Table, *, mapping: ColumnMapping | None, report: Report, pictures: ImageStore
) -> Iterator[NormalRow]:
    """The good rows of a file, one in memory at a time; `report` and `pictures` are filled as they pass.

    Raises AppError where no shape fits the first row.
    """
    shape: Shape | None = None
    for found in table.rows:
        if isinstance(found, Problem):
            report.add(found)
            continue
        if shape is None:
            shape = recognise(found.item, mapping=mapping)
            report.shape, report.columns = shape.name, shape.columns()
        try:
            row = normal_row(found, shape=shape, number=report.good, pictures=pictures)
        except BadLineError as error:
            read = json.dumps(found.item, ensure_ascii=False)
            report.add(Problem(line=found.line, code=error.code, message=str(error), read=read))
            continue
        yield row
        count_good(row, report=report)


def count_good(row: NormalRow, *, report: Report) -> None:
    """Count a row that was taken, and what it has."""
    report.good += 1
    report.with_answer += row.reference.answer is not None
    report.with_solution += row.reference.solution is not None
    report.with_trajectory += row.reference.trajectory is not None
    report.with_privileged += row.privileged is not None
    report.with_images += bool(row.images)


def normal_row(raw: RawRow, *, shape: Shape, number: int, pictures: ImageStore) -> NormalRow:
    """A row as its file's shape has it. Raises BadLineError saying what it lacks."""
    asked = messages_of(raw.item, shape=shape)
    reference = _reference(raw.item, shape)
    messages, images = with_images(asked, raw.item, shape=shape, pictures=pictures)
    return NormalRow(
        number=number,
        line=raw.line,
        messages=messages,
        reference=reference,
        hint=_hint(raw.item, shape, reference),
        item=raw.item,
        row_hash=raw.row_hash,
        images=images,
    )


def read_rows(file: BinaryIO, *, name: str = "The file", mapping: ColumnMapping | None = None) -> list[NormalRow]:
    """All rows of a file, with their images. Raises AppError for the first bad line, or where there is no row."""
    with opened(file, filename=name) as table, ImageStore(table.archive) as pictures:
        report = Report(counted_in=table.counted_in)
        rows = list(normal_rows(table, mapping=mapping, report=report, pictures=pictures))
        report.refuse_bad(name)
        loaded = {sha256: pictures.read(sha256) for row in rows for sha256 in row.images}
    return [_with_pictures(row, loaded) for row in rows]


def load_rows(session: Session, file_id: str) -> list[NormalRow]:
    """All rows of a stored file, in order, with their images, of which equal ones are in memory once."""
    if session.get(File, file_id) is None:
        raise not_found("file", file_id)
    stored = session.execute(
        select(DatasetRow.number, DatasetRow.line, DatasetRow.normal)
        .where(DatasetRow.file_id == file_id)
        .order_by(DatasetRow.number)
    )
    rows = [NormalRow.from_json(normal, number=number, line=line) for number, line, normal in stored]
    loaded = {sha256: blobs.read(session, sha256) for sha256 in {name for row in rows for name in row.images}}
    return [_with_pictures(row, loaded) for row in rows]


def _with_pictures(row: NormalRow, loaded: Mapping[str, bytes]) -> NormalRow:
    return replace(row, pictures=tuple(loaded[sha256] for sha256 in row.images)) if row.images else row


def answer_of(item: Mapping[str, Any]) -> str | None:
    """The reference answer of a single row that belongs to no file: from the first column known to hold one."""
    found = next((value for place in REFERENCES if (value := value_at(item, place)) is not None), None)
    if found is None:
        return None
    answer = _text(found)
    return _at_mark(answer)[1] if "question" in item and ANSWER_MARK in answer else answer


def _reference(item: Mapping[str, Any], shape: Shape) -> Reference:
    solution = _optional_text(item, shape.solution)
    trajectory = _optional_text(item, "trajectory")
    if shape.answer is None:
        return Reference(answer=None, solution=solution, trajectory=trajectory)
    given = value_at(item, shape.answer)
    if given is None:
        raise BadLineError("missing_answer", f"has no '{shape.answer}'")
    answer = _text(given)
    if shape.marked and ANSWER_MARK in answer:
        worked, answer = _at_mark(answer)
        solution = solution or worked or None
    if not answer.strip():
        raise BadLineError("empty_answer", f"has an empty answer in '{shape.answer}'")
    return Reference(answer=answer, solution=solution, trajectory=trajectory)


def _at_mark(answer: str) -> tuple[str, str]:
    worked, _, tail = answer.rpartition(ANSWER_MARK)
    return worked.strip(), tail.strip()


def _hint(item: Mapping[str, Any], shape: Shape, reference: Reference) -> HintText | None:
    columns = HINTS if shape.hint is None else (shape.hint, *HINTS)
    for column in columns:
        text = _optional_text(item, column)
        if text is not None:
            return HintText(text=text, source=column)
    if reference.solution is not None:
        return HintText(text=reference.solution, source="solution")
    return None if reference.answer is None else HintText(text=reference.answer, source="answer")


def _optional_text(item: Mapping[str, Any], column: str) -> str | None:
    value = value_at(item, column)
    text = None if value is None else _text(value)
    return text if text and text.strip() else None


def _text(value: object) -> str:
    """A text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
