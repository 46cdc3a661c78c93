"""Base classes of verifier specs: common fields, template fields, errors that belong to a field."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, model_validator

from backend.errors import AppError
from backend.verifiers import libraries, templates

OUTPUT_TEXT = "{{sample.output_text}}"


MAX_SCORE = 1_000_000.0
"""Largest magnitude of a score: sums, squares and advantages of such scores are finite in any precision."""


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if not -MAX_SCORE <= ends[0] < ends[1] <= MAX_SCORE:
        raise ValueError(f"it must be two numbers from {-MAX_SCORE:.0f} to {MAX_SCORE:.0f}, the smaller first")
    return ends


_End = Annotated[float, Strict()]
ScoreRange = Annotated[tuple[_End, _End], AfterValidator(_ascending)]
"""Lowest and highest score, named `range` as in OpenAI's `score_model`."""


class FieldError(ValueError):
    """An error found while validating the whole object that belongs to one of its fields."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Grader(BaseModel):
    """Base of all specs."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    name: str = Field(default="", max_length=200)
    error_counts_as_zero: bool = False
    """As in OpenAI's API, score errors and timeouts 0. By default such completions are excluded and counted."""

    @model_validator(mode="after")
    def _an_error_earns_no_full_marks(self) -> Self:
        lowest, highest = self.bounds
        if self.error_counts_as_zero and highest <= 0:
            raise FieldError(
                "error_counts_as_zero",
                f"scores go from {lowest:g} to {highest:g}, so that an error counted as 0 would earn full marks: leave "
                "it out, and errors are excluded",
            )
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest score, both included; a score beyond them is an error of its row."""
        return 0.0, 1.0

    @property
    def templates(self) -> dict[str, str]:
        """Field -> template."""
        return {}

    @property
    def implicit_references(self) -> tuple[str, ...]:
        """Omitted fields that default to the row's answer."""
        return ()

    @property
    def required_libraries(self) -> frozenset[str]:
        """Libraries (libraries.MODULES) that the sandbox must provide."""
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
    """Compares one text, usually the completion, with a `reference`, by default the row's answer (the normal form's
    `reference.answer`).
    """

    input: TemplateText = OUTPUT_TEXT
    reference: TemplateText | None = None

    @property
    def needs_reference(self) -> bool:
        """Whether a reference is needed."""
        return True

    @property
    def templates(self) -> dict[str, str]:
        return {"input": self.input} | ({} if self.reference is None else {"reference": self.reference})

    @property
    def implicit_references(self) -> tuple[str, ...]:
        return ("reference",) if self.needs_reference and self.reference is None else ()


def require_libraries(grader: Grader) -> None:
    """Raise FieldError if the type needs a library that is not installed."""
    for name in sorted(grader.required_libraries):
        try:
            libraries.require_installed(name)
        except AppError as error:
            raise FieldError("type", error.message) from error
