"""Specs that extract an answer from the text: `number`, `math`, `choice`, `json_schema`."""

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
    """Convert a list of equivalent units to a mapping with factor 1."""
    return dict.fromkeys(units, 1.0) if isinstance(units, list) and all(type(u) is str for u in units) else units


class Number(TextGrader):
    r"""Compares the last number of the input with the reference's, within `tolerance`.

    `tolerance`: in the reference's unit, or a share of the reference such as `"2%"`. `units`: factor of each unit
    relative to a common one, `{"km": 1000, "m": 1}`, or a list of equivalent names; a number without a unit has the
    factor 1, unless the reference has a unit. Numbers are read as people write them (numerals.py): `12,000`,
    `9 500`, `-$72`, `2.5 \times 10^{-3}`, `1/2`, `3 M`. `decimal_mark` decides how `1,234` is read; if unset, it is
    found from all references of the dataset, and is a point if they do not decide (docs/verifiers.md).
    """

    type: Literal["number"]
    tolerance: float | str = 0.0
    units: Annotated[dict[str, float], BeforeValidator(_units)] = Field(default_factory=dict, max_length=MAX_UNITS)
    decimal_mark: Literal[".", ","] | None = None

    @field_validator("tolerance")
    @classmethod
    def _tolerance_is_a_width(cls, tolerance: float | str) -> float | str:
        if isinstance(tolerance, str) and not _PERCENT.fullmatch(tolerance):
            raise ValueError(f"{tolerance!r:.40} is neither a number of at least 0 nor a percentage such as '2%'")
        if isinstance(tolerance, float) and not (math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"{tolerance} is not a number of at least 0")
        return tolerance

    @field_validator("units")
    @classmethod
    def _units_are_words(cls, units: dict[str, float]) -> dict[str, float]:
        for unit, factor in units.items():
            if unit != unit.strip() or not 0 < len(unit) <= 30 or any(letter.isdigit() for letter in unit[:1]):
                raise ValueError(f"{unit!r:.40} is not a unit: use 1 to 30 characters, no digit first, no outer spaces")
            if not (math.isfinite(factor) and factor > 0):
                raise ValueError(f"the factor of '{unit}' is {factor}; it must be above 0")
        return units

    @property
    def tolerances(self) -> tuple[float, float]:
        """(absolute, relative) tolerance; the larger of the two applies."""
        if isinstance(self.tolerance, float):
            return self.tolerance, 0.0
        found = _PERCENT.fullmatch(self.tolerance)
        assert found is not None
        return 0.0, float(found[1]) / 100


class Math(TextGrader):
    """Equality of the expression that the input states and the reference's, in LaTeX or plain, by math-verify."""

    type: Literal["math"]

    @model_validator(mode="after")
    def _libraries_are_there(self) -> "Math":
        require_libraries(self)
        return self

    @property
    def required_libraries(self) -> frozenset[str]:
        return frozenset({"math_verify"})


class ChoiceGrader(TextGrader):
    r"""Multiple choice: the input states one of `choices`, letters or words: `\boxed{B}`, `Answer: (B)`, `**B**`.

    A text that states none, a list of several or a denial scores 0.
    """

    type: Literal["choice"]
    choices: tuple[str, ...] = Field(default=tuple("ABCDEFGHIJ"), min_length=2, max_length=MAX_CHOICES)

    @field_validator("choices")
    @classmethod
    def _choices_differ(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        if any(choice != choice.strip() or not 0 < len(choice) <= 100 for choice in choices):
            raise ValueError("each choice must have 1 to 100 characters and no outer spaces")
        if len({choice.casefold() for choice in choices}) < len(choices):
            raise ValueError("two choices differ only in upper and lower case")
        return choices


class JsonSchema(Grader):
    """1 if the whole input is JSON that is valid under the schema. `$ref` may only point within the schema."""

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
                raise ValueError(f"$ref '{remote:.80}' points outside the schema; remote schemas are not supported")
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
    def required_libraries(self) -> frozenset[str]:
        return frozenset({"jsonschema"})


def _references(schema: object) -> list[str]:
    """Collect the values of all `$ref`."""
    if isinstance(schema, list):
        return [ref for part in schema for ref in _references(part)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return own + [ref for part in schema.values() for ref in _references(part)]
