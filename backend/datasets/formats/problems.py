"""What was found in a file: how many rows, read by which rule, and what is wrong on which line."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from backend.errors import AppError

LISTED_PROBLEMS = 1000
MAX_ROW_CHARACTERS, MAX_KEPT_CHARACTERS = 10_000, 1_000_000
"""Of one bad row, and of all that a report keeps; a row is kept whole or not at all."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one line, counted from 1. `code` is stable; `message` goes on after "line 7 ...".

    A table without lines counts its rows instead. `number` is that of a row that was taken, from 0: a line of JSON may
    hold many. `read`: the row that was left out, in JSON as far as it is; None where it is no text or too long.
    """

    line: int
    code: str
    message: str
    number: int | None = None
    read: str | None = None


@dataclass(slots=True, kw_only=True)
class Report:
    """Filled while a file is read. `columns` says where question, answer, solution and hint were taken from.

    `problems` are of rows left out, `warnings` of rows that were taken; of both the first thousand are listed and all
    counted. `about` holds what is known of the file and of the good rows together.
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
    about: dict[str, Any] = field(default_factory=dict)
    kept_characters: int = 0

    def add(self, problem: Problem) -> None:
        self.bad += 1
        if len(self.problems) < LISTED_PROBLEMS:
            self.problems.append(self._bounded(problem))

    def warn(self, problem: Problem) -> None:
        self.warned += 1
        if len(self.warnings) < LISTED_PROBLEMS:
            self.warnings.append(problem)

    def refuse_bad(self, filename: str) -> None:
        """Raises AppError naming the first bad line, or that there is no row at all."""
        if self.problems:
            first, *others = self.problems
            message = f"{filename}: {self.counted_in} {first.line} {first.message}."
            if others:
                lines = ", ".join(str(problem.line) for problem in others[:10])
                message += f" {self.bad - 1} more bad: {self.counted_in} {lines}{' ...' if self.bad > 11 else ''}."
            raise AppError(message, code=first.code, param="file")
        self.refuse_empty(filename)

    def refuse_empty(self, filename: str) -> None:
        """Raises AppError where no row is good."""
        if not self.good and self.problems:
            self.refuse_bad(filename)
        if not self.good:
            raise AppError(f"{filename} holds no rows.", code="empty_file", param="file")

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
            "problems": [self._shown(problem) for problem in self.problems],
            "warned": self.warned,
            "warnings": [self._shown(warning) for warning in self.warnings],
            **self.about,
        }

    def _bounded(self, problem: Problem) -> Problem:
        length = len(problem.read or "")
        if length > MAX_ROW_CHARACTERS or self.kept_characters + length > MAX_KEPT_CHARACTERS:
            return replace(problem, read=None)
        self.kept_characters += length
        return problem

    def _shown(self, problem: Problem) -> dict[str, Any]:
        shown = {self.counted_in: problem.line, "code": problem.code, "message": problem.message}
        more = {"number": problem.number, "read": problem.read}
        return shown | {name: value for name, value in more.items() if value is not None}
