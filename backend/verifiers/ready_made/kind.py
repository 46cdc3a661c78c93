"""A ready-made verifier: a complete grader, a line on its use, and examples that serve as its tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """`score`: the expected score of `text` on the row `item`, whose reference answer is its `answer`."""

    item: Mapping[str, Any]
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """`id` is stable, as it appears in links. `name` and `use` are shown to users."""

    id: str
    name: str
    use: str
    grader: Mapping[str, Any]
    examples: tuple[Example, ...]
