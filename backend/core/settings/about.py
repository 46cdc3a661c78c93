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

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Name symbol, unit and the meaning of 0 in the schema of each field, and the unit in its description too."""
        schema = handler(core)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name, field in cls.model_fields.items():
            described = properties[field.alias if field.alias in properties else name]
            for each in field.metadata:
                if isinstance(each, About):
                    described |= each.in_schema
                    if each.unit:
                        described["description"] = f"{field.description} Unit: {each.unit}."
        return schema

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
    zero: str = ""
    """What 0 stands for, such as `none`; empty if it is a number like others."""
    part: Part | None = None
    """The part of a method that reads it; None: all methods do."""
    when: When | None = None
    """What it depends on; None: it always has an effect."""
    may_change: bool = False
    """Whether a run that continues from a checkpoint may have another value."""
    in_form: bool = True
    """Whether the form has a field for it among the others of its section."""

    @property
    def in_schema(self) -> dict[str, str]:
        """What the schema of its field says of it."""
        facts = {"x-symbol": self.symbol, "x-unit": self.unit, "x-zero": self.zero}
        return {key: value for key, value in facts.items() if value}


def about(name: str, field: FieldInfo) -> About:
    """Return the facts about a setting. ValueError if its field does not say them."""
    found = next((each for each in field.metadata if isinstance(each, About)), None)
    if found is None:
        raise ValueError(
            f"{name} has no About: add one to its field, with label, unit and why; in_form=False keeps it off the form"
        )
    return found
