"""Dataset rows in the normal form, independent of the file format. The original row is kept in `item`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any, BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.formats.json_lines import BadLineError, RawRow
from backend.datasets.formats.problems import Problem, Report
from backend.datasets.rows.asked_about import notes_on
from backend.datasets.rows.images import ENCODED_IMAGE, ImageStore, image_value, without_images
from backend.datasets.rows.labels import note_on_ratings, require_right
from backend.datasets.rows.messages import leaves_out_reply, messages_of, with_images
from backend.datasets.rows.numbered import first_number, note_on_numbers
from backend.datasets.rows.paths import text_at, value_at
from backend.datasets.rows.recognise import recognise
from backend.datasets.rows.references import Reference, note_on_objects, reference_of
from backend.datasets.rows.shape import ColumnMapping, Shape
from backend.datasets.rows.source import Table, open_table
from backend.datasets.rows.tools import Tool, columns_named_tools, note_on_tools, tools_of
from backend.datasets.rows.turns import note_on
from backend.db.files import DatasetRow, File
from backend.errors import AppError, not_found

HINTS = ("teacher_prompt", "privileged_context", "trajectory")
"""Columns with a hint for the teacher, by priority; they take precedence over solution and answer."""
REFERENCE_HINTS = ("trajectory", "solution", "answer")
"""Hint sources that are references as well; a hint from any other source was written for the teacher."""
TEMPLATE_MARKS = ("<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "[INST]")
"""How chat templates begin a message."""


@dataclass(frozen=True, slots=True)
class HintText:
    """A hint for the teacher, and the column it was taken from."""

    text: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalRow:
    """A row in the normal form. `number` counts rows from 0, `line` lines from 1 (rows in a table without lines).

    `images`: SHA-256 of the images for the image parts of `messages`, in order. `image_bytes`: the encoded images, if
    they were loaded. `tools`: the functions that the model may call, as OpenAI's chat completions describe them.
    """

    number: int
    line: int
    messages: list[dict[str, Any]]
    reference: Reference
    hint: HintText | None
    item: dict[str, Any]
    row_hash: str
    images: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    split: str = "train"
    image_bytes: tuple[bytes, ...] = field(default=(), compare=False, repr=False)

    @property
    def privileged(self) -> str | None:
        """The hint written for the teacher; None if the row's hint is one of its references."""
        return None if self.hint is None or self.hint.source in REFERENCE_HINTS else self.hint.text

    @property
    def id(self) -> str:
        return f"row-{self.number}"

    @property
    def item_without_images(self) -> dict[str, Any]:
        """The original row without the bytes of its images."""
        return {key: without_images(value) for key, value in self.item.items()}

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "messages": self.messages,
            "tools": list(self.tools),
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
            reference=Reference(**normal["reference"] | {"accepted": tuple(normal["reference"].get("accepted", ()))}),
            hint=None if normal["hint"] is None else HintText(**normal["hint"]),
            item=normal["item"],
            row_hash=normal["row_hash"],
            images=tuple(normal["images"]),
            tools=tuple(normal.get("tools", ())),  # rows of earlier releases have none
            split=normal["split"],
        )


def normal_rows(
    table: Table, *, mapping: ColumnMapping | None, report: Report, image_store: ImageStore
) -> Iterator[NormalRow]:
    """Yield the good rows of a file, one in memory at a time, and fill `report` and `image_store`.

    Raises AppError if no shape fits the first row.
    """
    report.notes += () if table.layout is None else table.layout.notes
    shape, to_read = _shape_of_rows(table, mapping=mapping)
    if shape is not None:
        report.shape, report.columns = shape.name, shape.columns()
        if shape.answer == shape.question:
            report.note(f"The assistant's turn at the end of '{shape.question:.60}' is read as the right answer.")
    for found in to_read:
        if isinstance(found, Problem):
            report.add(found)
            continue
        assert shape is not None  # that of the first row
        try:
            row = normal_row(found, shape=shape, number=report.good, image_store=image_store)
        except BadLineError as error:
            read = json.dumps(found.item, ensure_ascii=False)
            report.add(Problem(line=found.line, code=error.code, message=str(error), read=read))
            continue
        yield row
        count_good(row, report=report)
        report.note(note_on(value_at(found.item, shape.question), column=shape.question))
        report.note(_note_on_reply(found.item, shape=shape))
        if text_at(found.item, shape.system) is not None:
            report.note(f"The texts in '{shape.system:.60}' are system messages.")
        report.note(note_on_objects(found.item, shape=shape))
        report.note(note_on_numbers(found.item, shape=shape))
        report.note(_note_on_bytes(found.item, columns=table.columns_of_bytes))
        for sentence in notes_on(row.messages, found.item, shape=shape):
            report.note(sentence)
        report.note(note_on_ratings(found.item, shape=shape))
        report.note(_note_on_template(row))
        if row.tools:
            report.note(note_on_tools(found.item, shape=shape))
        else:
            _warn_of_other_tools(row, shape=shape, report=report)


def _shape_of_rows(table: Table, *, mapping: ColumnMapping | None) -> tuple[Shape | None, Iterator[RawRow | Problem]]:
    """Return the shape of a file, None if it has no row, and what is to be read, the rows that show it included."""
    rows, seen = iter(table.rows), list[RawRow | Problem]()

    def items() -> Iterator[Mapping[str, Any]]:
        for found in rows:
            seen.append(found)
            if isinstance(found, RawRow):
                yield found.item

    looked_at = items()
    first = next(looked_at, None)
    if first is None:
        return None, iter(seen)
    shape = _shape_of(first, table, mapping=mapping)
    number: int | None = None if mapping is None else mapping.first_choice
    if number is None and shape.choices is not None:
        number = first_number(chain([first], looked_at), shape=shape)
    return replace(shape, first_choice=None if number is None else str(number)), chain(seen, rows)


def _shape_of(item: Mapping[str, Any], table: Table, *, mapping: ColumnMapping | None) -> Shape:
    """Recognise the shape by the first row. Raises AppError, with the sheet of a workbook that was read."""
    try:
        return recognise(item, mapping=mapping)
    except AppError as error:
        raise (error if table.layout is None else table.layout.refused(error)) from None


def _note_on_reply(item: Mapping[str, Any], *, shape: Shape) -> str | None:
    if not leaves_out_reply(item, shape=shape):
        return None
    return f"The assistant's turn at the end of '{shape.question:.60}' is left out: the answer is '{shape.answer:.60}'."


def _note_on_bytes(item: Mapping[str, Any], *, columns: Iterable[str]) -> str | None:
    found = ((column, item[column] if isinstance(item[column], list) else [item[column]]) for column in columns)
    column = next((column for column, values in found if any(map(_is_no_image, values))), None)
    return column and f"The bytes in '{column:.60}' are read as base64: store texts as strings."


def _is_no_image(value: Any) -> bool:
    text = image_value(value)
    return isinstance(text, str) and ENCODED_IMAGE.match(text) is None


def _note_on_template(row: NormalRow) -> str | None:
    texts = [message["content"] for message in row.messages if isinstance(message["content"], str)]
    mark = next((mark for mark in TEMPLATE_MARKS if any(mark in text for text in texts)), None)
    return mark and f"Questions contain '{mark}', which chat templates write: give messages without it, or it is twice."


def _warn_of_other_tools(row: NormalRow, *, shape: Shape, report: Report) -> None:
    for column in list(columns_named_tools(row.item, shape=shape))[:1]:
        message = f"has '{column}' that are not functions, so they are not part of the prompt"
        report.warn(Problem(line=row.line, code="tools_not_functions", message=message, number=row.number))


def count_good(row: NormalRow, *, report: Report) -> None:
    """Count an accepted row and the parts it has."""
    report.good += 1
    report.with_answer += row.reference.answer is not None
    report.with_solution += row.reference.solution is not None
    report.with_trajectory += row.reference.trajectory is not None
    report.with_privileged += row.privileged is not None
    report.with_images += bool(row.images)


def normal_row(raw: RawRow, *, shape: Shape, number: int, image_store: ImageStore) -> NormalRow:
    """Convert a row by its file's shape. Raises BadLineError naming what is missing or invalid."""
    if raw.item and all(_is_same_name(name, value) for name, value in raw.item.items()):
        raise BadLineError("repeated_header", "repeats the names of the columns")
    question, tools = messages_of(raw.item, shape=shape), tools_of(raw.item, shape=shape)
    require_right(raw.item, shape=shape)
    reference = reference_of(raw.item, shape=shape)
    messages, images = with_images(question, raw.item, shape=shape, image_store=image_store)
    return NormalRow(
        number=number,
        line=raw.line,
        messages=messages,
        reference=reference,
        hint=_hint(raw.item, shape, reference),
        item=raw.item,
        row_hash=raw.row_hash,
        images=images,
        tools=tuple(tools),
    )


def _is_same_name(name: str, value: object) -> bool:
    return isinstance(value, str) and value.strip().casefold() == name.strip().casefold()


def read_rows(file: BinaryIO, *, name: str = "The file", mapping: ColumnMapping | None = None) -> list[NormalRow]:
    """Read all rows of a file, with their images. Raises AppError for the first bad line, or if there is no row."""
    return read_rows_and_notes(file, name=name, mapping=mapping)[0]


def read_rows_and_notes(
    file: BinaryIO, *, name: str, mapping: ColumnMapping | None
) -> tuple[list[NormalRow], list[str]]:
    """Read all rows of a file as `read_rows` does, and return also how they were read, in sentences."""
    with open_table(file, filename=name, mapping=mapping) as table, ImageStore(table.archive) as image_store:
        report = Report(counted_in=table.counted_in)
        rows = list(normal_rows(table, mapping=mapping, report=report, image_store=image_store))
        report.require_all_good(name)
        loaded = {sha256: image_store.read(sha256) for row in rows for sha256 in row.images}
    return [_with_image_bytes(row, loaded) for row in rows], list(report.notes)


def load_rows(session: Session, file_id: str) -> list[NormalRow]:
    """Load all rows of a stored file, in order, with their images; equal images share memory."""
    if session.get(File, file_id) is None:
        raise not_found("file", file_id)
    stored = session.execute(
        select(DatasetRow.number, DatasetRow.line, DatasetRow.normal)
        .where(DatasetRow.file_id == file_id)
        .order_by(DatasetRow.number)
    )
    rows = [NormalRow.from_json(normal, number=number, line=line) for number, line, normal in stored]
    loaded = {sha256: blobs.read(session, sha256) for sha256 in {name for row in rows for name in row.images}}
    return [_with_image_bytes(row, loaded) for row in rows]


def _with_image_bytes(row: NormalRow, loaded: Mapping[str, bytes]) -> NormalRow:
    return replace(row, image_bytes=tuple(loaded[sha256] for sha256 in row.images)) if row.images else row


def items_and_answers(rows: Iterable[NormalRow]) -> Iterator[tuple[Mapping[str, object], str | None]]:
    """Yield what graders compare with, row by row."""
    return ((row.item, row.reference.answer) for row in rows)


def _hint(item: Mapping[str, Any], shape: Shape, reference: Reference) -> HintText | None:
    columns = HINTS if shape.hint is None else (shape.hint, *HINTS)
    for column in columns:
        text = text_at(item, column)
        if text is not None:
            return HintText(text=text, source=column)
    if reference.solution is not None:
        return HintText(text=reference.solution, source="solution")
    return None if reference.answer is None else HintText(text=reference.answer, source="answer")
