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
TRUTH = "reward_model.ground_truth"
REFERENCES = ("reference_answer", "answer", "ground_truth", "expected_answer", TRUTH, SOLUTION)
"""Places known to hold a reference, the first that is there. Beside an answer, `solution` is the way to it."""
IMAGE_COLUMNS = ("images", "image")
EXAMPLE = '{"question": "...", "answer": "...", "hint": "...", "images": "..."}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a row must have for the rule to fit: the question, `needs`, and one of `answers` unless it is `unsaid`.

    Places are columns, or paths into them with dots.
    """

    name: str
    made_for: str
    question: str
    answers: tuple[str, ...]
    """Where the reference may stand, first come first."""
    needs: tuple[str, ...] = ()
    unsaid: bool = False
    """Without one of `answers`, the verifier alone knows where the reference stands."""
    sole: bool = False
    """Without one of `answers`, the only other column is the reference; of several the verifier knows which."""
    marked: bool = False
    """A line `#### 42` at the end of the answer is the answer, and what stands before it the solution."""

    def answer_in(self, item: Mapping[str, Any]) -> str | None:
        found = next((place for place in self.answers if holds(item, place)), None)
        others = [column for column in item if column != self.question and column not in IMAGE_COLUMNS]
        return others[0] if found is None and self.sole and len(others) == 1 else found

    def fits(self, item: Mapping[str, Any]) -> bool:
        known = (
            self.answer_in(item) is not None or self.unsaid or (self.sole and len(item.keys() - {*IMAGE_COLUMNS}) > 1)
        )
        return known and all(holds(item, place) for place in (self.question, *self.needs))


RULES = (
    Rule(
        name="responses_create_params",
        made_for="NeMo Gym",
        question="responses_create_params.input",
        answers=("expected_answer", *REFERENCES),
        unsaid=True,
    ),
    Rule(name=TRUTH, made_for="verl", question="prompt", answers=(TRUTH,)),
    Rule(
        name="teacher_prompt",
        made_for="ms-swift",
        question="messages",
        needs=("teacher_prompt",),
        answers=(SOLUTION, *REFERENCES),
        unsaid=True,
    ),
    Rule(name="messages + reference_answer", made_for="AWS RFT", question="messages", answers=("reference_answer",)),
    Rule(name="messages + other keys", made_for="OpenAI RFT", question="messages", answers=REFERENCES, sole=True),
    Rule(name="question + answer", made_for="verifiers, GSM8K", question="question", answers=("answer",), marked=True),
    Rule(name="problem + answer", made_for="RLSD's authors, EasyR1", question="problem", answers=("answer",)),
    Rule(
        name="prompt + solution/ground_truth/answer",
        made_for="TRL",
        question="prompt",
        answers=("answer", "ground_truth", SOLUTION),
    ),
)


def holds(item: Mapping[str, Any], place: str) -> bool:
    """Whether the row has such a column, or such a path; it may be null."""
    return _found(item, place) is not ABSENT


def value_at(item: Mapping[str, Any], place: str) -> Any:
    """What stands in a column or at the end of a path with dots; None where there is nothing."""
    value = _found(item, place)
    return None if value is ABSENT else value


ABSENT = object()


def _found(item: Mapping[str, Any], place: str) -> Any:
    if place in item:
        return item[place]
    value: Any = item
    for name in place.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return ABSENT
        value = value[name]
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A rule bound to the columns of one file. `answer` None: only a verifier knows where the reference stands.

    `images` None: in the first of `IMAGE_COLUMNS` that a row fills.
    """

    name: str
    question: str
    answer: str | None
    solution: str = SOLUTION
    hint: str | None = None
    images: str | None = None
    marked: bool = False

    def columns(self) -> dict[str, str | None]:
        found = {"question": self.question, "answer": self.answer, "solution": self.solution, "hint": self.hint}
        return found if self.images is None else found | {"images": self.images}


class ColumnMapping(BaseModel):
    """The form field `mapping`: which column, or path with dots, is what. It comes before all rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    hint: str | None = Field(None, min_length=1)
    images: str | None = Field(None, min_length=1)

    def shape(self) -> Shape:
        return Shape(
            name="mapping",
            question=self.question,
            answer=self.answer,
            solution=self.hint or SOLUTION,
            hint=self.hint,
            images=self.images,
        )


def shape_again(name: str, columns: Mapping[str, str | None]) -> Shape:
    """The shape by which a stored file was read, from its name and `Shape.columns`."""
    rule = next((rule for rule in RULES if rule.name == name), None)
    return Shape(
        name=name,
        question=columns["question"] or "",
        answer=columns["answer"],
        solution=columns["solution"] or SOLUTION,
        hint=columns["hint"],
        images=columns.get("images"),
        marked=rule is not None and rule.marked,
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
        missing = [column for column in (mapping.question, mapping.answer) if not holds(item, column)]
        if missing:
            raise AppError(
                f"The mapping names the column '{missing[0]}', which the first row lacks (there: {_columns(item)}).",
                code="invalid_mapping",
                param="mapping",
            )
        return mapping.shape()
    for rule in RULES:
        if rule.fits(item):
            return Shape(name=rule.name, question=rule.question, answer=rule.answer_in(item), marked=rule.marked)
    raise AppError(
        f"No known shape has the columns {_columns(item)}: say with `mapping` which hold question and answer.",
        code="unknown_shape",
        param="file",
    )


def _columns(item: Mapping[str, Any]) -> str:
    names = [f"'{name:.40}'" for name in list(item)[:20]]
    return ", ".join(names) + (" ..." if len(item) > len(names) else "") or "none"
