"""What all specs of verifiers have in common: the envelope, fields with templates, faults that belong to a field."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backend.errors import AppError
from backend.verifiers import libraries, templates

OUTPUT_TEXT = "{{sample.output_text}}"


class FieldError(ValueError):
    """A fault found by a check of the whole object that belongs to one of its fields."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Grader(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    name: str = Field(default="", max_length=200)
    error_counts_as_zero: bool = False
    """OpenAI's meaning: an error or a timeout is a score of 0. Ours leaves such a completion out and counts it."""

    @property
    def templates(self) -> dict[str, str]:
        """Field -> template."""
        return {}

    @property
    def open_references(self) -> tuple[str, ...]:
        """The fields left out in whose place every row's answer stands."""
        return ()

    @property
    def needs(self) -> frozenset[str]:
        """The libraries (libraries.MODULES) that the sandbox has to have at hand."""
        return frozenset()


def _parsed(text: str) -> str:
    try:
        templates.parse(text)
    except AppError as error:
        raise ValueError(error.message) from error
    return text


TemplateText = Annotated[str, AfterValidator(_parsed)]
"""A text whose `{{item...}}` and `{{sample...}}` are filled for each row (templates.py)."""


class TextGrader(Grader):
    """Compares one text, as a rule what the model wrote, with another of the row.

    Without a `reference` that is the row's answer (the normal form's `reference.answer`).
    """

    input: TemplateText = OUTPUT_TEXT
    reference: TemplateText | None = None

    @property
    def compares(self) -> bool:
        """Whether there has to be a reference."""
        return True

    @property
    def templates(self) -> dict[str, str]:
        return {"input": self.input} | ({} if self.reference is None else {"reference": self.reference})

    @property
    def open_references(self) -> tuple[str, ...]:
        return ("reference",) if self.compares and self.reference is None else ()


def require_libraries(grader: Grader) -> None:
    """Raises FieldError where the type needs a library that is not installed."""
    for name in sorted(grader.needs):
        try:
            libraries.require_installed(name)
        except AppError as error:
            raise FieldError("type", error.message) from error
