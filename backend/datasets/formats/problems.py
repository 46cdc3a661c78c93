"""The report on a file: row counts, the rule by which rows were read, and the problems by line."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from backend.errors import AppError

LISTED_PROBLEMS = 1000
MAX_ROW_CHARACTERS, MAX_KEPT_CHARACTERS = 10_000, 1_000_000
"""Limits for the text of one bad row, and of all that a report keeps; a row is kept whole or not at all."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with one line, counted from 1. `code` is stable; `message` continues a sentence after "line 7".

    In a table without lines, `line` counts rows. `number`, from 0, is set for accepted rows: one line of JSON may hold
    many. `read`: the text of a rejected row, JSON where possible; None if it is not text or too long.
    """

    line: int
    code: str
    message: str
    number: int | None = None
    read: str | None = None


@dataclass(slots=True, kw_only=True)
class Report:
    """Filled while a file is read. `columns` names the columns of question, answer, solution and hint.

    `problems` concern rejected rows, `warnings` accepted rows; all are counted and the first thousand of each listed.
    `notes` says what was read otherwise than it is written. `details` holds facts about the file and statistics over
    the good rows.
    """

    counted_in: Literal["line", "row"] = "line"
    shape: str | None = None
    columns: dict[str, str | None] = field(default_factory=dict)
    good: int = 0
    bad: int = 0
    warned: int = 0
    with_answer: int = 0
    with_solution: int = 0
    with_trajectory: int = 0
    with_privileged: int = 0
    with_images: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    kept_characters: int = 0

    def add(self, problem: Problem) -> None:
        self.bad += 1
        if len(self.problems) < LISTED_PROBLEMS:
            self.problems.append(self._bounded(problem))

    def warn(self, problem: Problem) -> None:
        self.warned += 1
        if len(self.warnings) < LISTED_PROBLEMS:
            self.warnings.append(problem)

    def note(self, sentence: str | None) -> None:
        if sentence is not None and sentence not in self.notes:
            self.notes.append(sentence)

    def require_all_good(self, filename: str) -> None:
        """Raise AppError naming the first bad line, or if there is no row at all."""
        if self.problems:
            first, *others = self.problems
            message = f"{filename}: {self.counted_in} {first.line} {first.message}."
            if others:
                lines = ", ".join(str(problem.line) for problem in others[:10])
                plural = "s" if self.bad > 2 else ""
                message += (
                    f" {self.bad - 1} more bad {self.counted_in}{plural}: {lines}{' ...' if self.bad > 11 else ''}."
                )
            raise AppError(message, code=first.code, param="file")
        self.require_rows(filename)

    def require_rows(self, filename: str) -> None:
        """Raise AppError if no row is good."""
        if not self.good and self.problems:
            self.require_all_good(filename)
        if not self.good:
            raise AppError(f"{filename} contains no rows.", code="empty_file", param="file")

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.good + self.bad,
            "good": self.good,
            "bad": self.bad,
            "shape": self.shape,
            "columns": self.columns,
            "with_answer": self.with_answer,
            "with_solution": self.with_solution,
            "with_trajectory": self.with_trajectory,
            "with_privileged": self.with_privileged,
            "with_images": self.with_images,
            "problems": [self._problem_json(problem) for problem in self.problems],
            "warned": self.warned,
            "warnings": [self._problem_json(warning) for warning in self.warnings],
            "notes": self.notes,
            **self.details,
        }

    def _bounded(self, problem: Problem) -> Problem:
        length = len(problem.read or "")
        if length > MAX_ROW_CHARACTERS or self.kept_characters + length > MAX_KEPT_CHARACTERS:
            return replace(problem, read=None)
        self.kept_characters += length
        return problem

    def _problem_json(self, problem: Problem) -> dict[str, Any]:
        required = {self.counted_in: problem.line, "code": problem.code, "message": problem.message}
        optional = {"number": problem.number, "read": problem.read}
        return required | {name: value for name, value in optional.items() if value is not None}
