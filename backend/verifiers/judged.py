"""Specs scored by another model: OpenAI's `score_model` and `label_model`.

They need a judge with OpenAI's chat API, configured by an administrator; without one they are rejected.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Strict, Tag, model_validator

from backend.settings import settings
from backend.verifiers.grader import FieldError, Grader, ScoreRange, TemplateText

NO_JUDGE = (
    "this grader uses another model as judge, and none is configured: an administrator must set RLSD_JUDGE_URL (the "
    "address of an OpenAI-compatible API, ending in /v1) and, if it requires a key, RLSD_JUDGE_KEY"
)


class _Part(BaseModel):
    """A piece of text of a message."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["input_text", "output_text", "text"]
    text: TemplateText

    @model_validator(mode="before")
    @classmethod
    def _is_a_text(cls, given: object) -> object:
        kind = given.get("type") if isinstance(given, dict) else None
        if kind in ("input_image", "input_audio"):
            raise FieldError("type", f"'{kind}' cannot be sent to the judge, which accepts text only: leave it out")
        return given


def _piece(content: object) -> str:
    """Return the union tag of the content, so that errors refer to that branch only."""
    return "str" if isinstance(content, str) else "_Part"


def _content(content: object) -> str:
    """Return the union tag of content that may have several pieces."""
    return _piece(content) if isinstance(content, str | dict | _Part) else "tuple[_Part]"


_Piece = Annotated[Annotated[TemplateText, Tag("str")] | Annotated[_Part, Tag("_Part")], Discriminator(_piece)]


class JudgeMessage(BaseModel):
    """A message to the judge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        Annotated[TemplateText, Tag("str")]
        | Annotated[_Part, Tag("_Part")]
        | Annotated[tuple[_Piece, ...], Tag("tuple[_Part]")],
        Discriminator(_content),
    ]

    @property
    def texts(self) -> tuple[str, ...]:
        pieces = self.content if isinstance(self.content, tuple) else (self.content,)
        return tuple(piece if isinstance(piece, str) else piece.text for piece in pieces)

    @property
    def template(self) -> str:
        return "\n".join(self.texts)


class SamplingParams(BaseModel):
    """Sampling parameters of the judge, named as in OpenAI's graders; omitted ones use the judge's defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_completions_tokens: Annotated[int, Strict()] | None = Field(None, ge=1)
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    seed: Annotated[int, Strict()] | None = None
    temperature: Annotated[float, Strict()] | None = Field(None, ge=0, le=2)
    top_p: Annotated[float, Strict()] | None = Field(None, ge=0, le=1)

    def chat_params(self) -> dict[str, Any]:
        """Return the given parameters under the names of OpenAI's chat API, one of which differs."""
        given = self.model_dump(exclude_none=True)
        return {"max_completion_tokens" if name == "max_completions_tokens" else name: given[name] for name in given}


class ModelGrader(Grader):
    """Base of graders scored by a judge; `model` is a name in the judge's API."""

    model: str = Field(min_length=1, max_length=200)
    input: tuple[JudgeMessage, ...] = Field(min_length=1, max_length=50)
    sampling_params: SamplingParams | None = None

    @property
    def templates(self) -> dict[str, str]:
        return {f"input.{at}.content": message.template for at, message in enumerate(self.input)}

    @model_validator(mode="before")
    @classmethod
    def _require_judge(cls, given: object) -> object:
        """Check for a judge first: without one no other error of the grader matters."""
        if settings().judge_url is None:
            raise FieldError("type", NO_JUDGE)
        return given


class ScoreModel(ModelGrader):
    """A judge that answers with a number within `range`."""

    type: Literal["score_model"]
    range: ScoreRange = (0.0, 1.0)

    @property
    def bounds(self) -> tuple[float, float]:
        return self.range


class LabelModel(ModelGrader):
    """A judge that answers with one of `labels`; those in `passing_labels` score 1, the others 0."""

    type: Literal["label_model"]
    labels: tuple[str, ...] = Field(min_length=1, max_length=100)
    passing_labels: tuple[str, ...] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _passing_labels_are_labels(self) -> "LabelModel":
        unknown = [label for label in self.passing_labels if label not in self.labels]
        if unknown:
            raise FieldError("passing_labels", f"'{unknown[0]:.60}' is not one of the labels")
        return self
