"""What people must know of each method and each hint to choose one: pure tables, shown by the API's schema and the UI.

`worker/engine/methods/` computes them; a test holds the two together.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal


class MethodName(StrEnum):
    RLSD = "rlsd"
    GRPO = "grpo"
    RLSD_TEMPLATE = "rlsd_template"
    CEPO = "cepo"
    RLCSD = "rlcsd"
    OPSD = "opsd"
    SDPO = "sdpo"
    GRPO_OPSD = "grpo_opsd"
    OPD = "opd"


class Hint(StrEnum):
    ANSWER = "answer"
    SOLUTION = "solution"
    TRAJECTORY = "trajectory"
    PRIVILEGED = "privileged"
    GRADER = "grader"
    SIBLING = "sibling"
    WRONG_SIBLING = "wrong_sibling"
    PLACEBO = "placebo"
    EMPTY = "empty"


_TEACHER = ("hint", "placebo_of", "teacher", "teacher_sync_steps", "first_error", "reasoning_only", "reasoning_end")
_FADING = ("lambda", "lambda_decay_steps", "negative_only")
_WEIGHING = (*_FADING, "eps_w", "normalise")
_IMITATING = ("delta_clip", "divergence", "divergence_beta", "divergence_top_k", "divergence_clip")


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodFacts:
    """How a method spreads the verdict on a completion over its tokens."""

    title: str
    summary: str
    source: str
    teacher: Literal["none", "hinted", "external"]
    """Who speaks beside the verifier: nobody, the model itself with a hint, another model."""
    rewarded: bool = True
    """Whether it learns from the verifier; the others only measure with it."""
    fades: bool = False
    """Whether it is GRPO where lambda is 0."""
    distils: bool = False
    """Whether it has something to learn where all completions of a question scored the same."""
    hint: Hint | None = None
    """The one hint it is defined with."""
    contrast: Hint | None = None
    """The second hint that its teacher is shown."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What it is published with, where that is not the usual default; a preset and the job itself win over it."""
    reads: tuple[str, ...] = ()
    """Settings that only some methods look at, and this one does."""


METHODS: Mapping[MethodName, MethodFacts] = {
    MethodName.RLSD: MethodFacts(
        title="RLSD",
        summary="The verifier decides what was right; the model itself, shown a hint, decides which tokens get the "
        "credit.",
        source="arXiv 2604.03128",
        teacher="hinted",
        fades=True,
        reads=(*_TEACHER, *_WEIGHING),
    ),
    MethodName.GRPO: MethodFacts(
        title="GRPO",
        summary="The verifier alone: every token of a completion gets the same credit. No teacher pass.",
        source="arXiv 2402.03300",
        teacher="none",
    ),
    MethodName.RLSD_TEMPLATE: MethodFacts(
        title="RLSD against its template",
        summary="RLSD measured against an empty hint, so that what the hint's place does by itself drops out.",
        source="this project",
        teacher="hinted",
        fades=True,
        contrast=Hint.EMPTY,
        reads=(*_TEACHER, *_WEIGHING),
    ),
    MethodName.CEPO: MethodFacts(
        title="CEPO",
        summary="RLSD's weights on the difference between a right hint and a failed completion of the same question.",
        source="arXiv 2605.19436",
        teacher="hinted",
        fades=True,
        contrast=Hint.WRONG_SIBLING,
        defaults={"lambda_decay_steps": 25, "eps_w": (0.5, 0.5)},
        reads=(*_TEACHER, *_WEIGHING, "contrast_samples"),
    ),
    MethodName.RLCSD: MethodFacts(
        title="RLCSD",
        summary="The verifier's credit plus a bounded contrast of right and wrong completions, which keeps its sign.",
        source="arXiv 2606.11709",
        teacher="hinted",
        fades=True,
        contrast=Hint.WRONG_SIBLING,
        defaults={"lambda_decay_steps": 0, "contrast_samples": 4, "hint": Hint.SIBLING},
        reads=(*_TEACHER, *_FADING, "contrast_samples", "contrast_tau", "contrast_threshold"),
    ),
    MethodName.OPSD: MethodFacts(
        title="OPSD",
        summary="The model imitates itself with the hint, on its own completions. The verifier only measures.",
        source="arXiv 2601.18734",
        teacher="hinted",
        rewarded=False,
        distils=True,
        defaults={"teacher": "base"},
        reads=(*_TEACHER, *_IMITATING),
    ),
    MethodName.SDPO: MethodFacts(
        title="SDPO",
        summary="OPSD whose hint is a successful completion of the same question: rows need no reference.",
        source="arXiv 2601.20802",
        teacher="hinted",
        rewarded=False,
        distils=True,
        hint=Hint.SIBLING,
        reads=(*(name for name in _TEACHER if name not in ("hint", "placebo_of")), *_IMITATING),
    ),
    MethodName.GRPO_OPSD: MethodFacts(
        title="GRPO + OPSD",
        summary="Both added up: the verifier's credit and, weighted by alpha, the imitation of the hinted model.",
        source="arXiv 2604.03128",
        teacher="hinted",
        distils=True,
        reads=(*_TEACHER, "alpha", *_IMITATING),
    ),
    MethodName.OPD: MethodFacts(
        title="OPD",
        summary="The model imitates a larger one with the same tokenizer, on its own completions. The verifier only "
        "measures.",
        source="arXiv 2306.13649",
        teacher="external",
        rewarded=False,
        distils=True,
        reads=(
            "teacher_model",
            "teacher_dtype",
            "teacher_device",
            "first_error",
            "reasoning_only",
            "reasoning_end",
            *_IMITATING,
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HintFacts:
    """What a teacher is shown."""

    title: str
    summary: str
    in_row: bool = False
    """Whether every row must have it."""


HINTS: Mapping[Hint, HintFacts] = {
    Hint.ANSWER: HintFacts(title="Answer", summary="The row's reference answer.", in_row=True),
    Hint.SOLUTION: HintFacts(title="Worked solution", summary="The row's worked solution.", in_row=True),
    Hint.TRAJECTORY: HintFacts(
        title="Trajectory", summary="The row's recorded way to the answer, such as a stronger model's.", in_row=True
    ),
    Hint.PRIVILEGED: HintFacts(
        title="Written for the teacher",
        summary="What the row itself says the teacher is to be told: `teacher_prompt`, `privileged_context`, or the "
        "column that was mapped as the hint.",
        in_row=True,
    ),
    Hint.GRADER: HintFacts(
        title="What the verifier looks up",
        summary="The values of the row that the verifier's `{{item...}}` name; for one in Python, the row without its "
        "question.",
        in_row=True,
    ),
    Hint.SIBLING: HintFacts(
        title="A completion that was right",
        summary="A successful completion of the same question, of the same step. Without one the teacher is silent.",
    ),
    Hint.WRONG_SIBLING: HintFacts(
        title="A completion that was wrong", summary="A failed completion of the same question, of the same step."
    ),
    Hint.PLACEBO: HintFacts(
        title="Placebo (control)", summary="Another row's hint: what a hint does by merely being there."
    ),
    Hint.EMPTY: HintFacts(
        title="Empty (control)", summary="The hint's place with nothing in it: what the template does."
    ),
}

ROW_HINTS = tuple(hint for hint, facts in HINTS.items() if facts.in_row)

METHOD_SCHEMA: dict[str, Any] = {"x-methods": {name: asdict(facts) for name, facts in METHODS.items()}}
"""What the API's schema says of the setting `method` beside its values."""
HINT_SCHEMA: dict[str, Any] = {"x-hints": {name: asdict(facts) for name, facts in HINTS.items()}}
