"""Instructions to start from, worked out for a verifier: how the model should mark its answer. Pure.

A grader is the JSON of its specification (`specs.spec_json`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backend.db.base import Json

LETTERS = ["A", "B", "C", "D"]
"""Where the verifier names no choices."""
FITTING = {"number": "number", "math": "boxed", "choice": "choice", "json_schema": "json"}
"""The template that a kind of grader reads, by its type."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """A text to start from. `answered`: an answer in the form that it asks for, with `{}` in place of the reference."""

    code: str
    title: str
    text: str
    answered: str


@dataclass(frozen=True, slots=True)
class Example:
    """A row to be shown with its answer."""

    question: str
    answer: str | None
    solution: str | None


def instructions(grader: Json) -> list[Instruction]:
    """Return the templates, with the choices and the keys that the grader asks for."""
    return [
        Instruction(
            "last_line",
            "Answer on the last line",
            "Think step by step, then write `Answer: ...` on the last line.",
            "Answer: {}",
        ),
        Instruction(
            "number",
            "Number on the last line",
            "Think step by step, then write `Answer: <number>` on the last line.",
            "Answer: {}",
        ),
        Instruction(
            "boxed",
            "Boxed formula",
            r"Think step by step, then write the final answer once, in \boxed{}.",
            r"\boxed{{{}}}",
        ),
        Instruction(
            "choice",
            "One of the choices",
            f"Think step by step, then write `Answer: ` and one of these on the last line: {_choices(grader)}.",
            "Answer: {}",
        ),
        Instruction(
            "json",
            "JSON alone",
            f"Answer with one JSON object{_keys(grader)}. Write nothing before or after it, and no code fence.",
            "{}",
        ),
    ]


def fitting(grader: Json) -> str | None:
    """Return the code of the template that the grader reads; None if it may expect another form.

    A combined grader reads that of its first grader with one.
    """
    return next((FITTING[each["type"]] for each in _single(grader) if each["type"] in FITTING), None)


def worked_examples(examples: Sequence[Example], grader: Json) -> str:
    """Write rows as examples to follow: with their worked solution, else their answer in the form that fits."""
    code = fitting(grader) or "last_line"
    form = next(each.answered for each in instructions(grader) if each.code == code)
    texts = [
        f"Question: {each.question}\n{form.format(each.answer or '') if each.solution is None else each.solution}"
        for each in examples
    ]
    return "\n\n".join(["Examples:", *texts]) if texts else ""


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
