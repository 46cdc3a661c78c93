"""What was found in a file: how many rows, read by which rule, and what is wrong on which line."""

from dataclasses import asdict, dataclass, field
from typing import Any

from backend.errors import AppError

LISTED_PROBLEMS = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one line, counted from 1. `code` is stable; `message` goes on after "line 7 ..."."""

    line: int
    code: str
    message: str


@dataclass(slots=True, kw_only=True)
class Report:
    """Filled while a file is read. `columns` says where question, answer, solution and hint were taken from."""

    shape: str | None = None
    columns: dict[str, str | None] = field(default_factory=dict)
    good: int = 0
    bad: int = 0
    with_answer: int = 0
    with_solution: int = 0
    with_trajectory: int = 0
    with_privileged: int = 0
    problems: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        self.bad += 1
        if len(self.problems) < LISTED_PROBLEMS:
            self.problems.append(problem)

    def refuse_bad(self, filename: str) -> None:
        """Raises AppError naming the first bad line, or that there is no row at all."""
        if self.problems:
            first, *others = self.problems
            message = f"{filename}: line {first.line} {first.message}."
            if others:
                lines = ", ".join(str(problem.line) for problem in others[:10])
                message += f" {self.bad - 1} more bad: line {lines}{' ...' if self.bad > 11 else ''}."
            raise AppError(message, code=first.code, param="file")
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
            "problems": [asdict(problem) for problem in self.problems],
        }
