"""Response types of the file preview: how a file would be read, before it is stored."""

from typing import TypedDict

from frontend.api.types import Json, Problem, Reference


class PreviewedNormal(TypedDict):
    """A row in its normal form. `images`: data URLs; None for a large one."""

    messages: list[Json]
    tools: list[Json]
    reference: Reference
    hint: Json | None
    images: list[str | None]


class PreviewedRow(TypedDict):
    """A row as written and as it would be read; `normal` is None if it cannot be read."""

    line: int
    item: Json
    normal: PreviewedNormal | None


class FilePreview(TypedDict):
    """The preview. `read_from`: the columns of question, answer, solution, hint and images, by these names.

    `sheet`, one of the visible `sheets`, and `header_row` say where the table begins; None without one.
    """

    format: str
    shape: str | None
    made_for: str | None
    columns: list[str]
    read_from: dict[str, str | None]
    looked_at: int
    bad: int
    rows: list[PreviewedRow]
    problems: list[Problem]
    notes: list[str]
    sheet: str | None
    sheets: list[str]
    header_row: int | None
    refused: Json | None
