"""Rules by which rows are left out of a version. Each says which; a row stays that none leaves out.

Here: what can be asked for, and what follows from a row's own words (`leaves_out`). What takes other rows, a report or
a job's completions to know is in `selection`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backend.datasets.analysis.findings import text_of
from backend.datasets.rows.rows import NormalRow
from backend.datasets.versions.edits import RowNumber

MAX_FILTERS = 20
MAX_NAMED_ROWS = 100_000
Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SolveRate(_Filter):
    """Leave out rows by how a job has solved equal rows, of this file or another: the share of graded completions with
    a score of at least 1. Rows without a graded completion are `unseen`."""

    type: Literal["solve_rate"]
    job: str = Field(min_length=1, max_length=200)
    never_solved: bool = Field(False, description="Leave out rows of which no completion was right.")
    always_solved: bool = Field(False, description="Leave out rows of which every completion was right.")
    min_rate: Rate | None = Field(None, description="Leave out rows solved less often.")
    max_rate: Rate | None = Field(None, description="Leave out rows solved more often.")
    unseen: Literal["keep", "leave_out"] = "keep"

    @model_validator(mode="after")
    def _asks_for_something(self) -> "SolveRate":
        bounds = (self.min_rate, self.max_rate)
        if not (self.never_solved or self.always_solved or self.unseen == "leave_out") and bounds == (None, None):
            raise ValueError("say which rows: never_solved, always_solved, min_rate, max_rate or unseen")
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
    """Leave out rows that are equal to an earlier one that stays."""

    type: Literal["exact_duplicates"]


class NearDuplicates(_Filter):
    """Leave out rows whose question is nearly that of an earlier one, as far as the report lists them."""

    type: Literal["near_duplicates"]


class Warned(_Filter):
    """Leave out rows that the report warns of, as far as it lists them."""

    type: Literal["warnings"]


class QuestionLength(_Filter):
    """Leave out rows with a longer question."""

    type: Literal["question_length"]
    max_characters: int = Field(ge=1, le=10**9)

    def leaves_out(self, row: NormalRow) -> bool:
        return len(text_of(row)) > self.max_characters


class TextFilter(_Filter):
    """Leave out rows whose question or reference holds a text, or those that do not. Case makes no difference."""

    type: Literal["text"]
    contains: str = Field(min_length=1, max_length=1000)
    leave_out: Literal["with", "without"] = "with"

    def leaves_out(self, row: NormalRow) -> bool:
        known = row.reference
        words = (text_of(row), known.answer, known.solution, known.trajectory)
        found = any(self.contains.casefold() in text.casefold() for text in words if text)
        return found == (self.leave_out == "with")


class RowNumbers(_Filter):
    """Keep only these rows, or leave these out."""

    type: Literal["rows"]
    keep: list[RowNumber] | None = Field(None, max_length=MAX_NAMED_ROWS)
    drop: list[RowNumber] | None = Field(None, max_length=MAX_NAMED_ROWS)

    @model_validator(mode="after")
    def _one_of_both(self) -> "RowNumbers":
        if (self.keep is None) == (self.drop is None):
            raise ValueError("give either keep or drop")
        return self


ReadingFilter = QuestionLength | TextFilter
Filter = Annotated[
    SolveRate | ExactDuplicates | NearDuplicates | Warned | QuestionLength | TextFilter | RowNumbers,
    Field(discriminator="type"),
]
