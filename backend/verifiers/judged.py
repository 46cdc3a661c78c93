"""Specs whose score another model gives: OpenAI's `score_model` and `label_model`.

They need a judge that speaks OpenAI's chat API, set by an administrator; without one they are refused when given.
"""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from backend.settings import settings
from backend.verifiers.grader import FieldError, Grader, TemplateText

NO_JUDGE = (
    "this grader asks another model, and no judge is set: an administrator sets RLSD_JUDGE_URL (the address of an "
    "OpenAI-compatible API, ending in /v1) and, where it asks for a key, RLSD_JUDGE_KEY"
)


class _Part(BaseModel):
    """A piece of text of a message."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["input_text", "output_text", "text"]
    text: TemplateText


class JudgeMessage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: TemplateText | _Part | tuple[_Part, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        if isinstance(self.content, str):
            return (self.content,)
        parts = self.content if isinstance(self.content, tuple) else (self.content,)
        return tuple(part.text for part in parts)

    @property
    def template(self) -> str:
        return "\n".join(self.texts)


class ModelGrader(Grader):
    """`model` is a name that the judge's API knows; `sampling_params` are passed on."""

    model: str = Field(min_length=1, max_length=200)
    input: tuple[JudgeMessage, ...] = Field(min_length=1, max_length=50)
    sampling_params: dict[str, Any] | None = None

    @property
    def templates(self) -> dict[str, str]:
        return {f"input.{at}.content": message.template for at, message in enumerate(self.input)}

    @model_validator(mode="before")
    @classmethod
    def _there_is_a_judge(cls, given: object) -> object:
        """Before anything else: without a judge nothing else about the grader matters."""
        if settings().judge_url is None:
            raise FieldError("type", NO_JUDGE)
        return given


class ScoreModel(ModelGrader):
    """The judge answers with a number within `range`."""

    type: Literal["score_model"]
    range: tuple[float, float] = (0.0, 1.0)

    @field_validator("range")
    @classmethod
    def _range_ascends(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not (all(map(math.isfinite, bounds)) and bounds[0] < bounds[1]):
            raise ValueError("it is two numbers, the smaller first")
        return bounds


class LabelModel(ModelGrader):
    """The judge answers with one of `labels`; those of `passing_labels` score 1, the others 0."""

    type: Literal["label_model"]
    labels: tuple[str, ...] = Field(min_length=1, max_length=100)
    passing_labels: tuple[str, ...] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _passing_labels_are_labels(self) -> "LabelModel":
        unknown = [label for label in self.passing_labels if label not in self.labels]
        if unknown:
            raise FieldError("passing_labels", f"'{unknown[0]:.60}' is not one of the labels")
        return self
