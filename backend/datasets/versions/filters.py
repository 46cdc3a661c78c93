"""Filters that leave rows out of a version. A row is kept unless a filter leaves it out.

This module defines the filters and evaluates those that need only the row's text (`leaves_out`). Those that need other
rows, the report or a job's completions are evaluated in `selection`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend.datasets.analysis.findings import question_text
from backend.datasets.rows.rows import NormalRow
from backend.datasets.versions.edits import RowNumber

MAX_FILTERS = 20
MAX_NAMED_ROWS = 100_000
Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SolveRate(_Filter):
    """Leave out rows by a job's solve rate on equal rows, of this file or another: the share of graded completions with
    a score of at least 1. Rows without a graded completion are `unseen`."""

    type: Literal["solve_rate"]
    job: str = Field(min_length=1, max_length=200)
    never_solved: bool = Field(False, description="Leave out rows that no completion solved.")
    always_solved: bool = Field(False, description="Leave out rows that every completion solved.")
    min_rate: Rate | None = Field(None, description="Leave out rows with a lower solve rate.")
    max_rate: Rate | None = Field(None, description="Leave out rows with a higher solve rate.")
    unseen: Literal["keep", "leave_out"] = "keep"

    @model_validator(mode="after")
    def _require_condition(self) -> "SolveRate":
        bounds = (self.min_rate, self.max_rate)
        if not (self.never_solved or self.always_solved or self.unseen == "leave_out") and bounds == (None, None):
            raise ValueError("set at least one of never_solved, always_solved, min_rate, max_rate, unseen")
        if self.min_rate is not None and self.max_rate is not None and self.min_rate > self.max_rate:
            raise ValueError("min_rate is above max_rate")
        return self

    def leaves_out(self, *, graded: int, solved: int) -> bool:
        if not graded:
            return self.unseen == "leave_out"
        rate = solved / graded
        return (
            (self.never_solved and solved == 0)
            or (self.always_solved and solved == graded)
            or (self.min_rate is not None and rate < self.min_rate)
            or (self.max_rate is not None and rate > self.max_rate)
        )


class ExactDuplicates(_Filter):
    """Leave out rows that are equal to an earlier row that is kept."""

    type: Literal["exact_duplicates"]


class NearDuplicates(_Filter):
    """Leave out rows that the report lists as near-duplicates of an earlier row."""

    type: Literal["near_duplicates"]


class Warned(_Filter):
    """Leave out rows that the report lists with a warning."""

    type: Literal["warnings"]


class QuestionLength(_Filter):
    """Leave out rows with a longer question."""

    type: Literal["question_length"]
    max_characters: int = Field(ge=1, le=10**9)

    def leaves_out(self, row: NormalRow) -> bool:
        return len(question_text(row)) > self.max_characters


class TextFilter(_Filter):
    """Leave out rows with a text in their question or reference, or those without it; case-insensitive."""

    type: Literal["text"]
    contains: str = Field(min_length=1, max_length=1000)
    leave_out: Literal["with", "without"] = "with"

    def leaves_out(self, row: NormalRow) -> bool:
        reference = row.reference
        texts = (question_text(row), reference.answer, reference.solution, reference.trajectory)
        found = any(self.contains.casefold() in text.casefold() for text in texts if text)
        return found == (self.leave_out == "with")


class RowNumbers(_Filter):
    """Keep only these rows, or leave these out."""

    type: Literal["rows"]
    keep: list[RowNumber] | None = Field(None, max_length=MAX_NAMED_ROWS)
    drop: list[RowNumber] | None = Field(None, max_length=MAX_NAMED_ROWS)

    @model_validator(mode="after")
    def _require_one(self) -> "RowNumbers":
        if (self.keep is None) == (self.drop is None):
            raise ValueError("give either keep or drop")
        return self


ContentFilter = QuestionLength | TextFilter
Filter = Annotated[
    SolveRate | ExactDuplicates | NearDuplicates | Warned | QuestionLength | TextFilter | RowNumbers,
    Field(discriminator="type"),
]
