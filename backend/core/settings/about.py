"""What a job's setting is besides its type: words for people, the methods that read it, and whether it may change."""

from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from backend.core.methods import Part


class Strict(BaseModel):
    """A model that rejects unknown names, infinite numbers, and booleans in place of numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _reject_booleans(cls, value: object, info: ValidationInfo) -> object:
        annotation = cls.model_fields[info.field_name or ""].annotation
        given = value if isinstance(value, list | tuple) else (value,)
        if _is_numeric(annotation) and any(isinstance(each, bool) for each in given):
            raise ValueError("must be a number, not true or false")
        return value


def _is_numeric(annotation: Any) -> bool:
    """Return whether the annotation is or contains a number."""
    return annotation in (int, float) or any(_is_numeric(part) for part in get_args(annotation))


@dataclass(frozen=True, slots=True)
class When:
    """The value of another setting with which a setting has an effect; if it `differs`, any other value."""

    setting: str
    value: str | float
    differs: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """Facts about a setting. Its range, default and description are those of its field."""

    label: str
    """Its name in the form; at most a line."""
    why: str
    """Why the default is usually right."""
    symbol: str = ""
    """Its symbol in the papers."""
    unit: str = ""
    """What its number counts or measures, such as `tokens`."""
    part: Part | None = None
    """The part of a method that reads it; None: all methods do."""
    when: When | None = None
    """What it depends on; None: it always has an effect."""
    may_change: bool = False
    """Whether a run that continues from a checkpoint may have another value."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Name unit and symbol in the schema of the field."""
        facts = {"x-symbol": self.symbol, "x-unit": self.unit}
        return handler(core) | {key: value for key, value in facts.items() if value}


def about(field: FieldInfo) -> About | None:
    """Return the facts about a field; None if it has none of its own in the form."""
    return next((each for each in field.metadata if isinstance(each, About)), None)
