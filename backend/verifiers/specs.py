"""The specs of verifiers: OpenAI's grader objects, and our own types beside them in the same envelope (SHAPES).

`parse_spec` is the only way in: what it returns has been parsed, compiled and recognised, so a later failure is the
row's or the verifier's, never the spec's.
"""

import hashlib
import json
from typing import Any

from pydantic import ValidationError

from backend.errors import AppError
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
    """A spec from JSON. Raises AppError(400) whose `param` names the field, `grader.pattern` for instance."""
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
    """A `multi` with its graders parsed. A single grader in place of the mapping, as OpenAI's SDK types it, is the
    mapping of its own name.
    """
    graders, field = obj.get("graders"), f"{param}.graders"
    if not isinstance(graders, dict):
        return obj
    if isinstance(graders.get("type"), str):
        name = graders.get("name")
        if not isinstance(name, str) or not name:
            raise AppError(
                f"'{field}' is one grader, so '{field}.name' is required: the formula calls it by that name.",
                code="invalid_grader",
                param=f"{field}.name",
            )
        graders = {name: graders}
    parsed: dict[str, Spec] = {}
    for name, grader in graders.items():
        here = f"{field}.{name}"
        if not isinstance(name, str) or not GRADER_NAME.fullmatch(name):
            raise AppError(
                f"'{here:.200}': a grader's name in a formula is made of letters, digits and _, no digit first.",
                code="invalid_grader",
                param=field,
            )
        if isinstance(grader, dict) and grader.get("type") == "multi":
            raise AppError(
                f"'{here}': a multi grader cannot hold another.", code="unsupported_grader", param=f"{here}.type"
            )
        parsed[name] = parse_spec(grader, param=here)
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
        text = str(cause) if cause is not None else str(error["msg"])
        message = f"'{field}': {text.rstrip('.')}."
    return AppError(message, code="invalid_grader", param=field)


def _is_branch(part: object) -> bool:
    """A step of pydantic's path that names the branch of a union, `float` or `function-after[...]`, not a field."""
    return isinstance(part, str) and (part in ("float", "str", "bool", "_Part") or "[" in part)


def spec_json(spec: Spec) -> dict[str, Any]:
    """What was given, without fields left at their defaults, so that a later field changes no stored hash."""
    return spec.model_dump(mode="json", exclude_defaults=True)


def spec_hash(spec: Spec) -> str:
    """sha256 of the canonical JSON, in hexadecimal."""
    canonical = json.dumps(spec_json(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
