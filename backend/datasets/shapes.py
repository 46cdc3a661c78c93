"""Which ecosystem a row was written for, and so where its question, answer and hint stand (SHAPES, Dataset rows).

Rules are tried in order on the first row; the first that fits holds for the whole file. A mapping given by the user
comes before all rules. Another shape is one more entry in `RULES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.errors import AppError

SOLUTION = "solution"
REFERENCES = ("reference_answer", "answer", "ground_truth", "expected_answer", SOLUTION)
"""Columns known to hold a reference, the first that is there. Beside an answer, `solution` is the way to it."""
EXAMPLE = '{"question": "...", "answer": "...", "hint": "..."}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`answers`: columns that may hold the reference, first come first. `open`: without one of them, the only other
    column is the reference, and of several the verifier alone knows which.
    """

    name: str
    made_for: str
    question: str
    answers: tuple[str, ...]
    open: bool = False
    marked: bool = False
    """A line `#### 42` at the end of the answer is the answer, and what stands before it the solution."""


RULES = (
    Rule(name="messages + reference_answer", made_for="AWS RFT", question="messages", answers=("reference_answer",)),
    Rule(name="messages + other keys", made_for="OpenAI RFT", question="messages", answers=REFERENCES, open=True),
    Rule(name="question + answer", made_for="verifiers, GSM8K", question="question", answers=("answer",), marked=True),
    Rule(
        name="prompt + solution/ground_truth/answer",
        made_for="TRL",
        question="prompt",
        answers=("answer", "ground_truth", SOLUTION),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A rule bound to the columns of one file. `answer` None: only a verifier knows where the reference stands."""

    name: str
    question: str
    answer: str | None
    solution: str = SOLUTION
    hint: str | None = None
    marked: bool = False

    def columns(self) -> dict[str, str | None]:
        return {"question": self.question, "answer": self.answer, "solution": self.solution, "hint": self.hint}


class ColumnMapping(BaseModel):
    """The form field `mapping`: which column is what, where no rule fits or another choice is wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    hint: str | None = Field(None, min_length=1)

    def shape(self) -> Shape:
        return Shape(
            name="mapping", question=self.question, answer=self.answer, solution=self.hint or SOLUTION, hint=self.hint
        )


def parse_mapping(text: str) -> ColumnMapping:
    """Raises AppError naming what is wrong with it."""
    try:
        return ColumnMapping.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(["mapping", *map(str, problem["loc"])])
        raise AppError(
            f"{where}: {problem['msg']}. Write {EXAMPLE} with your columns' names.",
            code="invalid_mapping",
            param="mapping",
        ) from None


def recognise(item: Mapping[str, Any], *, mapping: ColumnMapping | None) -> Shape:
    """The shape of a file, judged by its first row. Raises AppError where none fits."""
    if mapping is not None:
        missing = [column for column in (mapping.question, mapping.answer) if column not in item]
        if missing:
            raise AppError(
                f"The mapping names the column '{missing[0]}', which the first row lacks (there: {_columns(item)}).",
                code="invalid_mapping",
                param="mapping",
            )
        return mapping.shape()
    for rule in RULES:
        others = [column for column in item if column != rule.question]
        answer = next((column for column in rule.answers if column in item), None)
        if rule.open and len(others) == 1:
            answer = others[0]
        if rule.question in item and (answer is not None or (rule.open and others)):
            return Shape(name=rule.name, question=rule.question, answer=answer, marked=rule.marked)
    raise AppError(
        f"No known shape has the columns {_columns(item)}: say with `mapping` which hold question and answer.",
        code="unknown_shape",
        param="file",
    )


def _columns(item: Mapping[str, Any]) -> str:
    names = [f"'{name:.40}'" for name in list(item)[:20]]
    return ", ".join(names) + (" ..." if len(item) > len(names) else "") or "none"
