"""What a ready-made verifier is: a whole grader with a line on what it is for, and examples that are its tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """`score` is what `text` gets on the row `item`, whose reference answer is its `answer`."""

    item: Mapping[str, Any]
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """`id` is stable: it names the verifier in links. `name` and `use` are for people."""

    id: str
    name: str
    use: str
    grader: Mapping[str, Any]
    examples: tuple[Example, ...]
