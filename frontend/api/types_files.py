"""How a file would be read, before it is stored: what the API's preview answers."""

from typing import TypedDict

from frontend.api.types import Json, Problem, Reference


class PreviewedNormal(TypedDict):
    """`images`: data URLs, None where one is large."""

    messages: list[Json]
    reference: Reference
    hint: Json | None
    images: list[str | None]


class PreviewedRow(TypedDict):
    """As it was written, and as it would be read; None where no rule fits."""

    line: int
    item: Json
    normal: PreviewedNormal | None


class FilePreview(TypedDict):
    """`read_from`: the column of question, answer, solution, hint and images, by these names."""

    format: str
    shape: str | None
    made_for: str | None
    columns: list[str]
    read_from: dict[str, str | None]
    looked_at: int
    bad: int
    rows: list[PreviewedRow]
    problems: list[Problem]
    refused: Json | None
