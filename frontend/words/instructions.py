"""Instructions to start from, worked out for the chosen verifier: how the model should mark its answer. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from frontend.api.types import Json

LETTERS = ["A", "B", "C", "D"]
"""Where the verifier names no choices."""
FITTING = {"number": "number", "math": "boxed", "choice": "choice", "json_schema": "json"}
"""The template that a kind of grader reads, by its type."""


@dataclass(frozen=True, slots=True)
class Template:
    title: str
    text: str


def templates(grader: Json) -> dict[str, Template]:
    """Return the templates by name, with the choices and the keys that the grader asks for."""
    return {
        "last_line": Template(
            "Answer on the last line", "Think step by step, then write `Answer: ...` on the last line."
        ),
        "number": Template(
            "Number on the last line", "Think step by step, then write `Answer: <number>` on the last line."
        ),
        "boxed": Template("Boxed formula", r"Think step by step, then write the final answer once, in \boxed{}."),
        "choice": Template(
            "One of the choices",
            f"Think step by step, then write `Answer: ` and one of these on the last line: {_choices(grader)}.",
        ),
        "json": Template(
            "JSON alone",
            f"Answer with one JSON object{_keys(grader)}. Write nothing before or after it, and no code fence.",
        ),
    }


def fitting(grader: Json) -> str | None:
    """Return the name of the template that the grader reads; None if it may expect another form.

    A combined grader reads that of its first grader with one.
    """
    return next((FITTING[each["type"]] for each in _single(grader) if each["type"] in FITTING), None)


def _single(grader: Json) -> Iterator[Json]:
    if grader["type"] == "multi":
        yield from grader["graders"].values()
    else:
        yield grader


def _choices(grader: Json) -> str:
    found = next((each for each in _single(grader) if each["type"] == "choice"), {})
    return ", ".join(found.get("choices", LETTERS))


def _keys(grader: Json) -> str:
    schema = next((each["schema"] for each in _single(grader) if each["type"] == "json_schema"), None)
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict) or not schema["properties"]:
        return ""
    needed = schema.get("required", [])
    return " with the keys " + ", ".join(
        _key(name, about, needed=name in needed) for name, about in schema["properties"].items()
    )


def _key(name: str, about: Any, *, needed: bool) -> str:
    kind = about.get("type") if isinstance(about, dict) else None
    said = [kind] if isinstance(kind, str) else []
    said += [] if needed else ["optional"]
    return f'"{name}"' + (f" ({', '.join(said)})" if said else "")
