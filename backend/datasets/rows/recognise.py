"""Recognition of dataset formats: which ecosystem a row was written for, and which columns hold its parts.

Rules are tried in order on the first row; the first that fits applies to the whole file. A mapping given by the user
overrides all rules. To support another format, add an entry to `RULES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.errors import AppError

SOLUTION = "solution"
TRUTH = "reward_model.ground_truth"
REFERENCES = ("reference_answer", "answer", "ground_truth", "expected_answer", TRUTH, SOLUTION)
"""Paths that may hold a reference, by priority. Next to an answer, `solution` is its worked solution."""
IMAGE_COLUMNS = ("images", "image")
TOOLS = "tools"
"""Column of the functions that the model may call."""
PROMPT_COLUMNS = (*IMAGE_COLUMNS, TOOLS)
"""Columns that are part of the prompt next to the question, so never the reference."""
EXAMPLE = '{"question": "...", "answer": "...", "hint": "...", "images": "..."}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A dataset format. It fits a row with the question, all of `required`, and one of `answers` unless optional.

    Paths are columns, or dotted paths into them.
    """

    name: str
    made_for: str
    question: str
    answers: tuple[str, ...]
    """Paths of the reference, by priority."""
    required: tuple[str, ...] = ()
    answer_optional: bool = False
    """Without one of `answers`, only the verifier knows where the reference is."""
    other_columns: bool = False
    """Without one of `answers`, a single other column is the reference; of several, only the verifier knows which."""
    has_answer_mark: bool = False
    """The answer ends with a line such as `#### 42`; the text before it is the solution."""

    def answer_path(self, item: Mapping[str, Any]) -> str | None:
        found = next((path for path in self.answers if has_path(item, path)), None)
        others = [column for column in item if column != self.question and column not in PROMPT_COLUMNS]
        return others[0] if found is None and self.other_columns and len(others) == 1 else found

    def fits(self, item: Mapping[str, Any]) -> bool:
        has_reference = (
            self.answer_path(item) is not None
            or self.answer_optional
            or (self.other_columns and len(item.keys() - {*PROMPT_COLUMNS}) > 1)
        )
        return has_reference and all(has_path(item, path) for path in (self.question, *self.required))


RULES = (
    Rule(
        name="responses_create_params",
        made_for="NeMo Gym",
        question="responses_create_params.input",
        answers=("expected_answer", *REFERENCES),
        answer_optional=True,
    ),
    Rule(name=TRUTH, made_for="verl", question="prompt", answers=(TRUTH,)),
    Rule(
        name="teacher_prompt",
        made_for="ms-swift",
        question="messages",
        required=("teacher_prompt",),
        answers=(SOLUTION, *REFERENCES),
        answer_optional=True,
    ),
    Rule(name="messages + reference_answer", made_for="AWS RFT", question="messages", answers=("reference_answer",)),
    Rule(
        name="messages + other keys", made_for="OpenAI RFT", question="messages", answers=REFERENCES, other_columns=True
    ),
    Rule(
        name="question + answer",
        made_for="verifiers, GSM8K",
        question="question",
        answers=("answer",),
        has_answer_mark=True,
    ),
    Rule(name="problem + answer", made_for="RLSD's authors, EasyR1", question="problem", answers=("answer",)),
    Rule(
        name="prompt + solution/ground_truth/answer",
        made_for="TRL",
        question="prompt",
        answers=("answer", "ground_truth", SOLUTION),
    ),
)


def has_path(item: Mapping[str, Any], path: str) -> bool:
    """Return whether the row has this column or dotted path; its value may be null."""
    return _lookup(item, path) is not ABSENT


def value_at(item: Mapping[str, Any], path: str) -> Any:
    """Return the value of a column or dotted path; None if it does not exist."""
    value = _lookup(item, path)
    return None if value is ABSENT else value


ABSENT = object()


def _lookup(item: Mapping[str, Any], path: str) -> Any:
    if path in item:
        return item[path]
    value: Any = item
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return ABSENT
        value = value[name]
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A rule bound to the columns of one file. `answer` is None if only a verifier knows where the reference is.

    If `images` is None, a row's images are in the first of `IMAGE_COLUMNS` that is not empty.
    """

    name: str
    question: str
    answer: str | None
    solution: str = SOLUTION
    hint: str | None = None
    images: str | None = None
    has_answer_mark: bool = False

    def columns(self) -> dict[str, str | None]:
        found = {"question": self.question, "answer": self.answer, "solution": self.solution, "hint": self.hint}
        return found if self.images is None else found | {"images": self.images}


class ColumnMapping(BaseModel):
    """The form field `mapping`: the column or dotted path of each part of a row. It overrides all rules."""

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


def stored_shape(name: str, columns: Mapping[str, str | None]) -> Shape:
    """Restore the shape with which a stored file was read from its name and `Shape.columns`."""
    rule = next((rule for rule in RULES if rule.name == name), None)
    return Shape(
        name=name,
        question=columns["question"] or "",
        answer=columns["answer"],
        solution=columns["solution"] or SOLUTION,
        hint=columns["hint"],
        images=columns.get("images"),
        has_answer_mark=rule is not None and rule.has_answer_mark,
    )


def parse_mapping(text: str) -> ColumnMapping:
    """Parse the form field `mapping`. Raises AppError naming the offending part."""
    try:
        return ColumnMapping.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(["mapping", *map(str, problem["loc"])])
        raise AppError(
            f"{where}: {problem['msg']}. Use {EXAMPLE} with the names of your columns.",
            code="invalid_mapping",
            param="mapping",
        ) from None


def recognise(item: Mapping[str, Any], *, mapping: ColumnMapping | None) -> Shape:
    """Determine the shape of a file by its first row. Raises AppError if no rule fits."""
    if mapping is not None:
        missing = [column for column in (mapping.question, mapping.answer) if not has_path(item, column)]
        if missing:
            raise AppError(
                f"The mapping names the column '{missing[0]}', which the first row does not have (its columns: "
                f"{_columns(item)}).",
                code="invalid_mapping",
                param="mapping",
            )
        return mapping.shape()
    for rule in RULES:
        if rule.fits(item):
            return Shape(
                name=rule.name,
                question=rule.question,
                answer=rule.answer_path(item),
                has_answer_mark=rule.has_answer_mark,
            )
    raise AppError(
        f"The columns ({_columns(item)}) match no known dataset format: name the columns of question and answer in "
        "`mapping`.",
        code="unknown_shape",
        param="file",
    )


def _columns(item: Mapping[str, Any]) -> str:
    names = [f"'{name:.40}'" for name in list(item)[:20]]
    return ", ".join(names) + (" ..." if len(item) > len(names) else "") or "none"
