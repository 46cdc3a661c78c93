"""The specs of verifiers: OpenAI's grader objects, and our own types beside them in the same envelope (SHAPES).

`parse_spec` is the only way in: what it returns has been parsed, compiled and recognised, so a later failure is the
row's or the verifier's, never the spec's.
"""

import hashlib
import json
import re
import warnings
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from backend.errors import AppError
from backend.verifiers import templates
from backend.verifiers.isolation import shares_process
from backend.verifiers.signatures import EntryPoint, check_compiles, entry_point, parse_source

OUTPUT_TEXT = "{{sample.output_text}}"
MAX_PATTERN_CHARS = 10_000
ANSWER_GROUP = "answer"
FLAGS = {"a": re.ASCII, "i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
LATER_TYPES = ("text_similarity", "multi", "score_model", "label_model", "number", "math", "choice", "json_schema")


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", max_length=200)
    error_counts_as_zero: bool = False
    """OpenAI's meaning: an error or a timeout is a score of 0. Ours leaves such a completion out and counts it."""


class StringCheck(_Spec):
    """`like` and `ilike`: the input contains the reference, with and without regard to case."""

    type: Literal["string_check"]
    input: str
    reference: str
    operation: Literal["eq", "ne", "like", "ilike"]

    @field_validator("operation", mode="before")
    @classmethod
    def _neq_is_ne(cls, operation: object) -> object:
        return "ne" if operation == "neq" else operation

    @field_validator("input", "reference")
    @classmethod
    def _templates_parse(cls, text: str) -> str:
        return _checked_template(text)


class Regex(_Spec):
    """The first match of `pattern` in `input`. Its group `answer`, if it has one, is compared (both stripped) with
    `reference`, which is the row's answer unless given; without that group a match scores 1.
    """

    type: Literal["regex"]
    pattern: str = Field(min_length=1, max_length=MAX_PATTERN_CHARS)
    input: str = OUTPUT_TEXT
    reference: str | None = None
    flags: str = ""
    """Letters of `aimsx`, as in Python's `(?imsx)`."""

    @field_validator("input", "reference")
    @classmethod
    def _templates_parse(cls, text: str | None) -> str | None:
        return text if text is None else _checked_template(text)

    @field_validator("flags")
    @classmethod
    def _flags_exist(cls, flags: str) -> str:
        unknown = sorted(set(flags) - set(FLAGS))
        if unknown:
            raise ValueError(f"unknown flag '{unknown[0]}'; flags are letters of {''.join(FLAGS)}")
        return flags

    @model_validator(mode="after")
    def _pattern_compiles(self) -> "Regex":
        try:
            self.compiled()
        except re.error as error:
            place = "" if error.pos is None else f" at position {error.pos}"
            raise _FieldError("pattern", f"not a regular expression: {error.msg}{place}") from error
        except (RecursionError, OverflowError) as error:
            raise _FieldError("pattern", f"not a regular expression: {error}") from error
        if self.reference is not None and not self.compares:
            raise _FieldError(
                "reference", f"only a named group is compared with it: write (?P<{ANSWER_GROUP}>…) in the pattern"
            )
        return self

    @property
    def flag_bits(self) -> int:
        return sum(FLAGS[letter].value for letter in set(self.flags))

    def compiled(self) -> re.Pattern[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(self.pattern, self.flag_bits)

    @property
    def compares(self) -> bool:
        return ANSWER_GROUP in self.compiled().groupindex


class Python(_Spec):
    """A function of the user's, called in the sandbox; see signatures.py for its parameters.

    It returns a number (a bool counts 1 or 0), None to abstain, or `{"score": number or None, "components": {name:
    number}, "reason": text}` of which the last two may be left out. Everything else is an error, NaN too.
    """

    type: Literal["python"]
    source: str = Field(min_length=1)
    image_tag: str | None = None
    """OpenAI's choice of libraries; kept, and without effect here."""
    isolation: Literal["auto", "call"] = "auto"
    """`call`: one process a call, for verifiers that execute what the model wrote. `auto`: so too, unless the source
    is plain (isolation.py)."""

    @field_validator("source")
    @classmethod
    def _source_has_an_entry_point(cls, source: str) -> str:
        try:
            entry_point(source)
            check_compiles(source)
        except AppError as error:
            raise ValueError(error.message) from error
        return source

    @property
    def entry_point(self) -> EntryPoint:
        return entry_point(self.source)

    @property
    def one_process_a_call(self) -> bool:
        return self.isolation == "call" or not shares_process(parse_source(self.source))


Spec = Annotated[StringCheck | Regex | Python, Field(discriminator="type")]
TYPES = ("string_check", "regex", "python")
_adapter: TypeAdapter[StringCheck | Regex | Python] = TypeAdapter(Spec)


class _FieldError(ValueError):
    """A fault found by a check of the whole object that belongs to one of its fields."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def parse_spec(obj: object, *, param: str = "grader") -> StringCheck | Regex | Python:
    """A spec from JSON. Raises AppError(400) whose `param` names the field, `grader.pattern` for instance."""
    if not isinstance(obj, dict):
        raise AppError(f"'{param}' must be an object with a 'type'.", code="invalid_grader", param=param)
    if "type" not in obj:
        raise AppError(f"'{param}.type' is required: {', '.join(TYPES)}.", code="invalid_grader", param=f"{param}.type")
    kind = obj["type"]
    if kind not in TYPES:
        known = "supported are " + ", ".join(TYPES)
        problem = f"'{kind}' is not supported yet" if kind in LATER_TYPES else f"{kind!r:.60} is not a grader type"
        raise AppError(f"{problem}; {known}.", code="unsupported_grader", param=f"{param}.type")
    try:
        return _adapter.validate_python(obj)
    except ValidationError as error:
        raise _refusal(error.errors()[0], param=param) from error


def _refusal(error: Any, *, param: str) -> AppError:
    cause = error.get("ctx", {}).get("error")
    path = [str(part) for part in error["loc"][1:]]  # without the discriminator's value
    if isinstance(cause, _FieldError):
        path.append(cause.name)
    field = ".".join([param, *path])
    if error["type"] == "missing":
        message = f"'{field}' is required."
    elif error["type"] == "extra_forbidden":
        message = f"'{field}' is not a field of this grader."
    else:
        text = str(cause) if cause is not None else str(error["msg"])
        message = f"'{field}': {text.rstrip('.')}."
    return AppError(message, code="invalid_grader", param=field)


def _checked_template(text: str) -> str:
    try:
        templates.parse(text)
    except AppError as error:
        raise ValueError(error.message) from error
    return text


def spec_json(spec: StringCheck | Regex | Python) -> dict[str, Any]:
    """What was given, without fields left at their defaults, so that a later field changes no stored hash."""
    return spec.model_dump(mode="json", exclude_defaults=True)


def spec_hash(spec: StringCheck | Regex | Python) -> str:
    """sha256 of the canonical JSON, in hexadecimal."""
    canonical = json.dumps(spec_json(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
