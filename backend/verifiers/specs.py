"""Specs of verifiers: OpenAI's grader objects, and additional types in the same format.

`parse_spec` is the only entry point. It validates and compiles everything, so that later failures are due to the row or
the verifier, never the spec.
"""

import hashlib
import json
from typing import Any

from pydantic import ValidationError

from backend.errors import AppError, in_words
from backend.verifiers.answers import ChoiceGrader, JsonSchema, Math, Number
from backend.verifiers.combined import GRADER_NAME, Multi, Single
from backend.verifiers.grader import OUTPUT_TEXT, FieldError, TextGrader
from backend.verifiers.judged import LabelModel, ScoreModel
from backend.verifiers.programs import Python
from backend.verifiers.texts import ANSWER_GROUP, Regex, StringCheck, TextSimilarity

__all__ = [
    "ANSWER_GROUP",
    "OUTPUT_TEXT",
    "TYPES",
    "ChoiceGrader",
    "JsonSchema",
    "LabelModel",
    "Math",
    "Multi",
    "Number",
    "Python",
    "Regex",
    "ScoreModel",
    "Single",
    "Spec",
    "StringCheck",
    "TextGrader",
    "TextSimilarity",
    "parse_spec",
    "spec_hash",
    "spec_json",
]

Spec = Single | Multi
_MODELS: dict[str, type[Spec]] = {
    "string_check": StringCheck,
    "text_similarity": TextSimilarity,
    "python": Python,
    "multi": Multi,
    "regex": Regex,
    "number": Number,
    "math": Math,
    "choice": ChoiceGrader,
    "json_schema": JsonSchema,
    "score_model": ScoreModel,
    "label_model": LabelModel,
}
TYPES = tuple(_MODELS)


def parse_spec(obj: object, *, param: str = "grader") -> Spec:
    """Parse a spec from JSON. Raises AppError(400) whose `param` names the field, such as `grader.pattern`."""
    if not isinstance(obj, dict):
        raise AppError(f"'{param}' must be an object with a 'type'.", code="invalid_grader", param=param)
    if "type" not in obj:
        raise AppError(f"'{param}.type' is required: {', '.join(TYPES)}.", code="invalid_grader", param=f"{param}.type")
    kind = obj["type"]
    if not isinstance(kind, str) or kind not in _MODELS:
        message = f"{kind!r:.60} is not a grader type; supported are {', '.join(TYPES)}."
        raise AppError(message, code="unsupported_grader", param=f"{param}.type")
    try:
        given = _with_parsed_graders(obj, param=param) if kind == "multi" else obj
        return _MODELS[kind].model_validate(given)
    except ValidationError as error:
        raise _refusal(error.errors()[0], param=param) from error


def _with_parsed_graders(obj: dict[str, Any], *, param: str) -> dict[str, Any]:
    """Parse the graders of a `multi`. A single grader in place of the mapping, as OpenAI's SDK types it, becomes a
    mapping from its own name.
    """
    graders, field = obj.get("graders"), f"{param}.graders"
    if not isinstance(graders, dict):
        return obj
    if isinstance(graders.get("type"), str):
        name = graders.get("name")
        if not isinstance(name, str) or not name:
            raise AppError(
                f"'{field}' is a single grader, so '{field}.name' is required: the formula refers to it by that name.",
                code="invalid_grader",
                param=f"{field}.name",
            )
        graders = {name: graders}
    parsed: dict[str, Spec] = {}
    for name, grader in graders.items():
        path = f"{field}.{name}"
        if not isinstance(name, str) or not GRADER_NAME.fullmatch(name):
            raise AppError(
                f"'{path:.200}': use letters, digits and _ for a grader's name, no digit first.",
                code="invalid_grader",
                param=field,
            )
        if isinstance(grader, dict) and grader.get("type") == "multi":
            raise AppError(
                f"'{path}': a multi grader cannot contain another.", code="unsupported_grader", param=f"{path}.type"
            )
        parsed[name] = parse_spec(grader, param=path)
    return obj | {"graders": parsed}


def _refusal(error: Any, *, param: str) -> AppError:
    cause = error.get("ctx", {}).get("error")
    path = [str(part) for part in error["loc"] if not _is_branch(part)]
    if isinstance(cause, FieldError):
        path.append(cause.name)
    field = ".".join([param, *path])
    if error["type"] == "missing":
        message = f"'{field}' is required."
    elif error["type"] == "extra_forbidden":
        message = f"'{field}' is not a field of this grader."
    else:
        message = f"'{field}': {in_words(error) if cause is None else str(cause).rstrip('.')}."
    return AppError(message, code="invalid_grader", param=field)


def _is_branch(part: object) -> bool:
    """Return whether an element of pydantic's path names a branch of a union, not a field."""
    return isinstance(part, str) and (part in ("float", "str", "bool", "_Part") or "[" in part)


def spec_json(spec: Spec) -> dict[str, Any]:
    """Convert to JSON without fields at their defaults, so that new fields do not change stored hashes."""
    return spec.model_dump(mode="json", exclude_defaults=True)


def spec_hash(spec: Spec) -> str:
    """Return the SHA-256 of the canonical JSON, in hexadecimal."""
    canonical = json.dumps(spec_json(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
