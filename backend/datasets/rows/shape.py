"""The shape of a file's rows, which column holds which part, and the mapping by which users name the columns."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from backend.datasets.formats.layout import Choice
from backend.errors import AppError, in_words

SOLUTION = "solution"
OPTIONAL_PARTS = ("images", "context", "choices", "first_choice", "system", "history")
"""Parts that few files have a column for, as `Shape` and reports name them."""
MAX_HEADER_ROW = 1_048_576
"""Number of lines of a sheet."""
EXAMPLE = '{"question": "...", "answer": "...", "hint": "...", "context": "...", "images": "..."}'
LAYOUT_EXAMPLE = '{"sheet": "...", "header_row": 3}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A rule bound to the columns of one file. `answer` is None if only a verifier knows where the reference is.

    Where `answer` is the column of the question, the reference is the assistant's turn that ends the conversation.
    `context`: a column whose text continues the question. `choices`: one that lists choices, or the first of several
    that hold one each; `first_choice`: "0" or "1", with which answers number the first. `system`: one with the system
    message. `history`: one with earlier turns. If `images` is None, a row's images are in the first of `IMAGE_COLUMNS`
    that is not empty.
    """

    name: str
    question: str
    answer: str | None
    solution: str = SOLUTION
    hint: str | None = None
    images: str | None = None
    context: str | None = None
    choices: str | None = None
    first_choice: str | None = None
    system: str | None = None
    history: str | None = None
    has_answer_mark: bool = False

    def columns(self) -> dict[str, str | None]:
        found = {"question": self.question, "answer": self.answer, "solution": self.solution, "hint": self.hint}
        optional = {name: getattr(self, name) for name in OPTIONAL_PARTS}
        return found | {part: column for part, column in optional.items() if column is not None}


class ColumnMapping(BaseModel):
    """The form field `mapping`: the column or dotted path of each part of a row, and where the table begins.

    Columns override all rules. Either the columns or the layout can be left out. A path that ends with `.*` is a list
    of answers of which any one is right. `first_choice`: the number of the first choice, where answers are numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str | None = Field(None, min_length=1)
    answer: str | None = Field(None, min_length=1, validate_default=True)
    hint: str | None = Field(None, min_length=1)
    images: str | None = Field(None, min_length=1)
    context: str | None = Field(None, min_length=1)
    first_choice: Literal[0, 1] | None = None
    sheet: str | None = Field(None, min_length=1, max_length=255)
    header_row: int | None = Field(None, ge=1, le=MAX_HEADER_ROW, strict=True)

    @field_validator("answer")
    @classmethod
    def _goes_with_question(cls, answer: str | None, info: ValidationInfo) -> str | None:
        if "question" in info.data and (info.data["question"] is None) != (answer is None):
            raise ValueError("question and answer go together")
        return answer

    @model_validator(mode="after")
    def _names_something(self) -> "ColumnMapping":
        names_no_more = self.layout == Choice() and self.first_choice is None
        if self.question is None and (names_no_more or self.hint or self.images or self.context):
            raise ValueError("question and answer are missing")
        return self

    @property
    def layout(self) -> Choice:
        return Choice(sheet=self.sheet, header_row=self.header_row)

    def shape(self) -> Shape | None:
        """Return the shape with these columns; None if the columns are not chosen."""
        if self.question is None or self.answer is None:
            return None
        return Shape(
            name="mapping",
            question=self.question,
            answer=self.answer,
            solution=self.hint or SOLUTION,
            hint=self.hint,
            images=self.images,
            context=self.context,
        )


def parse_mapping(text: str) -> ColumnMapping:
    """Parse the form field `mapping`. Raises AppError naming the offending part."""
    try:
        return ColumnMapping.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(["mapping", *map(str, problem["loc"])])
        raise AppError(
            f"{where}: {in_words(problem)}. Use {EXAMPLE} with the names of your columns, "
            f"and for a table that begins elsewhere {LAYOUT_EXAMPLE}, alone or with them.",
            code="invalid_mapping",
            param="mapping",
        ) from None
