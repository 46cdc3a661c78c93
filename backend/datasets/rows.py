"""Rows in the normal form (SHAPES, Dataset rows), whatever file they came from. The original row stays in `item`."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.datasets.read import BadLineError, raw_rows
from backend.datasets.report import Problem, Report
from backend.datasets.shapes import REFERENCES, ColumnMapping, Shape, recognise
from backend.db.files import DatasetRow, File
from backend.errors import not_found

ROLES = ("system", "developer", "user", "assistant", "tool")
HINTS = ("teacher_prompt", "privileged_context", "trajectory")
"""Columns that hold a hint for the teacher, stronger than solution and answer, in this order."""
REFERENCE_HINTS = ("trajectory", "solution", "answer")
"""Sources of a hint that are references as well; any other was written for the teacher."""
ANSWER_MARK = "####"
IMAGE_PARTS = ("image_url", "image", "input_image")
IMAGE_URL = re.compile(r"(data:image/[\w.+-]+;base64,)[A-Za-z0-9+/]+={0,2}")
"""An image inside a row, by its first group without its bytes."""


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
    """`number` counts the rows of the file from 0, `line` its lines from 1."""

    number: int
    line: int
    messages: list[dict[str, Any]]
    reference: Reference
    hint: HintText | None
    item: dict[str, Any]
    row_hash: str
    images: tuple[str, ...] = ()
    split: str = "train"

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
        return {key: _without_images(value) for key, value in self.item.items()}

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


def normal_rows(file: BinaryIO, *, mapping: ColumnMapping | None, report: Report) -> Iterator[NormalRow]:
    """The good rows of a file, one in memory at a time; `report` is filled as they pass.

    Raises AppError where no shape fits the first row.
    """
    shape: Shape | None = None
    for found in raw_rows(file):
        if isinstance(found, Problem):
            report.add(found)
            continue
        if shape is None:
            shape = recognise(found.item, mapping=mapping)
            report.shape, report.columns = shape.name, shape.columns()
        try:
            messages = _messages(found.item, shape.question)
            reference = _reference(found.item, shape)
        except BadLineError as error:
            report.add(Problem(line=found.line, code=error.code, message=str(error)))
            continue
        row = NormalRow(
            number=report.good,
            line=found.line,
            messages=messages,
            reference=reference,
            hint=_hint(found.item, shape, reference),
            item=found.item,
            row_hash=found.row_hash,
        )
        yield row
        report.good += 1
        report.with_answer += reference.answer is not None
        report.with_solution += reference.solution is not None
        report.with_trajectory += reference.trajectory is not None
        report.with_privileged += row.privileged is not None


def read_rows(file: BinaryIO, *, name: str = "The file", mapping: ColumnMapping | None = None) -> list[NormalRow]:
    """All rows of a file. Raises AppError for the first bad line, or where there is no row."""
    report = Report()
    rows = list(normal_rows(file, mapping=mapping, report=report))
    report.refuse_bad(name)
    return rows


def load_rows(session: Session, file_id: str) -> list[NormalRow]:
    """All rows of a stored file, in order."""
    if session.get(File, file_id) is None:
        raise not_found("file", file_id)
    stored = session.execute(
        select(DatasetRow.number, DatasetRow.line, DatasetRow.normal)
        .where(DatasetRow.file_id == file_id)
        .order_by(DatasetRow.number)
    )
    return [NormalRow.from_json(normal, number=number, line=line) for number, line, normal in stored]


def answer_of(item: Mapping[str, Any]) -> str | None:
    """The reference answer of a single row that belongs to no file: from the first column known to hold one."""
    column = next((name for name in REFERENCES if item.get(name) is not None), None)
    if column is None:
        return None
    answer = _text(item[column])
    return _at_mark(answer)[1] if "question" in item and ANSWER_MARK in answer else answer


def _messages(item: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    """The question as chat messages; a text is one message of the user's."""
    value = item.get(column)
    if value is None:
        raise BadLineError("missing_question", f"has no '{column}'")
    if isinstance(value, str):
        if not value.strip():
            raise BadLineError("empty_question", f"has an empty '{column}'")
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise BadLineError("invalid_messages", f"needs a text or a list of messages in '{column}'")
    for place, message in enumerate(value):
        _check_message(message, where=f"{column}[{place}]")
    if value[-1]["role"] != "user":
        raise BadLineError(
            "last_message_not_user", f"ends '{column}' with a message of role '{value[-1]['role']}': it must be 'user'"
        )
    return value


def _check_message(message: object, *, where: str) -> None:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadLineError("invalid_messages", f"needs an object with 'role' and 'content' at {where}")
    if message["role"] not in ROLES:
        raise BadLineError(
            "invalid_messages", f"has the role '{message['role']:.40}' at {where}: use one of {', '.join(ROLES)}"
        )
    content = message.get("content")
    if isinstance(content, str):
        if not content.strip() and message["role"] == "user":
            raise BadLineError("empty_question", f"has an empty content at {where}")
        return
    if not isinstance(content, list) or not content:
        raise BadLineError("invalid_messages", f"needs a text in {where}.content")
    for place, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in IMAGE_PARTS:
            if not IMAGE_URL.fullmatch(_url(part)):
                raise BadLineError(
                    "images_not_supported",
                    f"has an image at {where}.content[{place}] that is not in the row itself: write it as "
                    "image_url: data:image/png;base64,...",
                )
            continue
        if kind != "text" or not isinstance(part.get("text"), str):
            raise BadLineError("invalid_messages", f"needs a text part at {where}.content[{place}]")


def _url(part: Mapping[str, Any]) -> str:
    """The address in an image part, OpenAI's chat's or its responses'; empty where there is none."""
    url = part.get("image_url")
    url = url.get("url") if isinstance(url, dict) else url
    return url if isinstance(url, str) else ""


def _reference(item: Mapping[str, Any], shape: Shape) -> Reference:
    solution = _optional_text(item, shape.solution)
    trajectory = _optional_text(item, "trajectory")
    if shape.answer is None:
        return Reference(answer=None, solution=solution, trajectory=trajectory)
    if item.get(shape.answer) is None:
        raise BadLineError("missing_answer", f"has no '{shape.answer}'")
    answer = _text(item[shape.answer])
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
    value = item.get(column)
    text = None if value is None else _text(value)
    return text if text and text.strip() else None


def _without_images(value: Any) -> Any:
    if isinstance(value, str):
        found = IMAGE_URL.fullmatch(value)
        return value if found is None else found[1]
    if isinstance(value, list):
        return [_without_images(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_images(each) for key, each in value.items()}
    return value


def _text(value: object) -> str:
    """A text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
