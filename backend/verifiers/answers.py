"""Specs that read an answer out of the text: `number`, `math`, `choice`, `json_schema`."""

import json
import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from backend.verifiers.grader import OUTPUT_TEXT, Grader, TemplateText, TextGrader, require_libraries

MAX_UNITS = 100
MAX_CHOICES = 50
MAX_SCHEMA_CHARS = 262_144
_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


def _units(units: object) -> object:
    """A list of units that mean the same is a mapping with the factor 1."""
    return dict.fromkeys(units, 1.0) if isinstance(units, list) and all(type(u) is str for u in units) else units


class Number(TextGrader):
    """The last number of the input is the reference's, give or take `tolerance`.

    `tolerance`: in the reference's own measure, or a share of the reference such as `"2%"`. `units`: how many of one
    common unit each is worth, `{"km": 1000, "m": 1}`, or a list of names for the same; a number with no unit counts as
    1, unless the reference has one. Thousands may be set apart by commas: `1,234.5`.
    """

    type: Literal["number"]
    tolerance: float | str = 0.0
    units: Annotated[dict[str, float], BeforeValidator(_units)] = Field(default_factory=dict, max_length=MAX_UNITS)

    @field_validator("tolerance")
    @classmethod
    def _tolerance_is_a_width(cls, tolerance: float | str) -> float | str:
        if isinstance(tolerance, str) and not _PERCENT.fullmatch(tolerance):
            raise ValueError(f"{tolerance!r:.40} is neither a number from 0 nor a share such as '2%'")
        if isinstance(tolerance, float) and not (math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"{tolerance} is no number from 0")
        return tolerance

    @field_validator("units")
    @classmethod
    def _units_are_words(cls, units: dict[str, float]) -> dict[str, float]:
        for unit, factor in units.items():
            if unit != unit.strip() or not 0 < len(unit) <= 30 or any(letter.isdigit() for letter in unit[:1]):
                raise ValueError(f"{unit!r:.40} is no unit: 1 to 30 characters, no digit first, no spaces around")
            if not (math.isfinite(factor) and factor > 0):
                raise ValueError(f"the factor of '{unit}' is {factor}; it must be above 0")
        return units

    @property
    def widths(self) -> tuple[float, float]:
        """(absolute, relative): the tolerance is the larger of the two."""
        if isinstance(self.tolerance, float):
            return self.tolerance, 0.0
        found = _PERCENT.fullmatch(self.tolerance)
        assert found is not None
        return 0.0, float(found[1]) / 100


class Math(TextGrader):
    """Mathematically equal by math-verify: `verify(parse(reference), parse(input))`; LaTeX and plain expressions."""

    type: Literal["math"]

    @model_validator(mode="after")
    def _libraries_are_there(self) -> "Math":
        require_libraries(self)
        return self

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"math_verify"})


class ChoiceGrader(TextGrader):
    r"""One of several, as multiple choice has it: `\boxed{B}`, `Answer: (B)`, `**B**`, or a last line that begins so.

    A text that settles on none, or lists several, scores 0. `choices` are letters or words.
    """

    type: Literal["choice"]
    choices: tuple[str, ...] = Field(default=tuple("ABCDEFGHIJ"), min_length=2, max_length=MAX_CHOICES)

    @field_validator("choices")
    @classmethod
    def _choices_differ(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        if any(choice != choice.strip() or not 0 < len(choice) <= 100 for choice in choices):
            raise ValueError("each is a text of 1 to 100 characters with no spaces around")
        if len({choice.casefold() for choice in choices}) < len(choices):
            raise ValueError("two of them are the same but for upper and lower case")
        return choices


class JsonSchema(Grader):
    """1 where the input is JSON, nothing around it, that the schema admits. `$ref` points within the schema."""

    type: Literal["json_schema"]
    json_schema: dict[str, Any] | bool = Field(alias="schema")
    input: TemplateText = OUTPUT_TEXT

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any] | bool) -> dict[str, Any] | bool:
        import jsonschema  # heavy, and only needed here

        try:
            if len(json.dumps(schema)) > MAX_SCHEMA_CHARS:
                raise ValueError(f"it has more than {MAX_SCHEMA_CHARS} characters")
            remote = next((ref for ref in _references(schema) if not ref.startswith("#")), None)
            if remote is not None:
                raise ValueError(f"$ref '{remote:.80}' leads outside the schema, which nothing can fetch here")
            jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator).check_schema(schema)
        except jsonschema.SchemaError as error:
            place = "".join(f"[{part!r}]" for part in error.absolute_path)
            raise ValueError(f"not a JSON schema: {error.message:.300}{f' at {place}' if place else ''}") from error
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        return schema

    @model_validator(mode="after")
    def _libraries_are_there(self) -> "JsonSchema":
        require_libraries(self)
        return self

    @property
    def templates(self) -> dict[str, str]:
        return {"input": self.input}

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"jsonschema"})


def _references(schema: object) -> list[str]:
    """The values of all `$ref`."""
    if isinstance(schema, list):
        return [ref for part in schema for ref in _references(part)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return own + [ref for part in schema.values() for ref in _references(part)]
