"""The hints that a teacher can see and the student does not (docs/rlsd.md section 2). Independent of the method."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Hint(StrEnum):
    ANSWER = "answer"
    """The row's final reference answer."""
    SOLUTION = "solution"
    """The row's worked solution."""
    TRAJECTORY = "trajectory"
    """The row's recorded path to the answer, such as a stronger model's."""
    PRIVILEGED = "privileged"
    """The row's own text for the teacher (`teacher_prompt`, `privileged_context`)."""
    GRADER = "grader"
    """The row's fields that the verifier reads."""
    SIBLING = "sibling"
    """A successful completion of the same group, never the sequence's own."""
    WRONG_SIBLING = "wrong_sibling"
    """A failed completion of the same group, never the sequence's own."""
    PLACEBO = "placebo"
    """Another row's hint of the kind `placebo_of`: measures the effect of any hint at all."""
    EMPTY = "empty"
    """The hint block without content: measures the effect of the template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HintFacts:
    """A kind of hint shown to the teacher."""

    title: str
    summary: str
    lack: str = ""
    """What a row without it lacks, for a hint that is part of the row, so that every row must have it; else empty."""
    control: bool = False
    """Whether it is there to measure, and not meant to help."""

    @property
    def in_row(self) -> bool:
        """Whether it is part of the row."""
        return bool(self.lack)


HINTS: Mapping[Hint, HintFacts] = {
    Hint.ANSWER: HintFacts(title="Answer", summary="The row's reference answer.", lack="answer"),
    Hint.SOLUTION: HintFacts(title="Worked solution", summary="The row's worked solution.", lack="worked solution"),
    Hint.TRAJECTORY: HintFacts(
        title="Trajectory",
        summary="A recorded solution path, such as that of a stronger model.",
        lack="trajectory",
    ),
    Hint.PRIVILEGED: HintFacts(
        title="Written for the teacher",
        summary="The row's own text for the teacher: `teacher_prompt`, `privileged_context`, or the column mapped as "
        "the hint.",
        lack="text for the teacher (`teacher_prompt` or `privileged_context`)",
    ),
    Hint.GRADER: HintFacts(
        title="What the verifier looks up",
        summary="The row's values in the verifier's `{{item...}}` templates; for a Python verifier, the row without "
        "the question.",
        lack="value that the verifier looks up",
    ),
    Hint.SIBLING: HintFacts(
        title="Right completion",
        summary="A successful completion of the same question and step. Without one the teacher is not used.",
    ),
    Hint.WRONG_SIBLING: HintFacts(
        title="Wrong completion", summary="A failed completion of the same question and step.", control=True
    ),
    Hint.PLACEBO: HintFacts(
        title="Placebo (control)", summary="Another row's hint: the effect of any hint being present.", control=True
    ),
    Hint.EMPTY: HintFacts(
        title="Empty (control)", summary="The hint template with no content: the effect of the template.", control=True
    ),
}

ROW_HINTS = tuple(hint for hint, facts in HINTS.items() if facts.in_row)
"""Hints that are part of the row."""
GROUP_HINTS = (Hint.SIBLING, Hint.WRONG_SIBLING)
"""Hints that exist only once a group has been sampled and scored."""

HINT_SCHEMA: dict[str, Any] = {
    "x-hints": {name: asdict(facts) | {"in_row": facts.in_row} for name, facts in HINTS.items()}
}
"""Extra schema of the setting `hint`."""
