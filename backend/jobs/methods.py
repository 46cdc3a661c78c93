"""Facts about each method and each hint, shown in the API's schema and the UI. Pure tables.

`worker/engine/methods/` implements the methods; a test compares the two.
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
    """How a method distributes a completion's score over its tokens."""

    title: str
    summary: str
    source: str
    teacher: Literal["none", "hinted", "external"]
    """The teacher next to the verifier: none, the model itself with a hint, or another model."""
    rewarded: bool = True
    """Whether it learns from the verifier's scores; other methods only measure with them."""
    fades: bool = False
    """Whether it is GRPO if lambda is 0."""
    distils: bool = False
    """Whether it also learns from groups whose completions all have the same score."""
    hint: Hint | None = None
    """The only hint that the method allows."""
    contrast: Hint | None = None
    """A second hint that its teacher sees, for contrast."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Published values that differ from the usual defaults; a preset and the job's own settings override them."""
    reads: tuple[str, ...] = ()
    """Settings that only some methods use, including this one."""


METHODS: Mapping[MethodName, MethodFacts] = {
    MethodName.RLSD: MethodFacts(
        title="RLSD",
        summary="The verifier decides whether a completion is right; the model itself, given a hint, decides which "
        "tokens get the credit.",
        source="arXiv 2604.03128",
        teacher="hinted",
        fades=True,
        reads=(*_TEACHER, *_WEIGHING),
    ),
    MethodName.GRPO: MethodFacts(
        title="GRPO",
        summary="Verifier only: every token of a completion gets the same credit. No teacher pass.",
        source="arXiv 2402.03300",
        teacher="none",
    ),
    MethodName.RLSD_TEMPLATE: MethodFacts(
        title="RLSD against its template",
        summary="RLSD relative to an empty hint, which cancels the effect of the hint template itself.",
        source="this project",
        teacher="hinted",
        fades=True,
        contrast=Hint.EMPTY,
        reads=(*_TEACHER, *_WEIGHING),
    ),
    MethodName.CEPO: MethodFacts(
        title="CEPO",
        summary="RLSD with weights from the difference between a right hint and a failed completion of the question.",
        source="arXiv 2605.19436",
        teacher="hinted",
        fades=True,
        contrast=Hint.WRONG_SIBLING,
        defaults={"lambda_decay_steps": 25, "eps_w": (0.5, 0.5)},
        reads=(*_TEACHER, *_WEIGHING, "contrast_samples"),
    ),
    MethodName.RLCSD: MethodFacts(
        title="RLCSD",
        summary="The verifier's credit plus a bounded contrast of right and wrong completions that keeps its sign.",
        source="arXiv 2606.11709",
        teacher="hinted",
        fades=True,
        contrast=Hint.WRONG_SIBLING,
        defaults={"lambda_decay_steps": 0, "contrast_samples": 4, "hint": Hint.SIBLING},
        reads=(*_TEACHER, *_FADING, "contrast_samples", "contrast_tau", "contrast_threshold"),
    ),
    MethodName.OPSD: MethodFacts(
        title="OPSD",
        summary="The model imitates itself given the hint, on its own completions. The verifier only measures.",
        source="arXiv 2601.18734",
        teacher="hinted",
        rewarded=False,
        distils=True,
        defaults={"teacher": "base"},
        reads=(*_TEACHER, *_IMITATING),
    ),
    MethodName.SDPO: MethodFacts(
        title="SDPO",
        summary="OPSD with a successful completion of the same question as the hint: rows need no reference.",
        source="arXiv 2601.20802",
        teacher="hinted",
        rewarded=False,
        distils=True,
        hint=Hint.SIBLING,
        reads=(*(name for name in _TEACHER if name not in ("hint", "placebo_of")), *_IMITATING),
    ),
    MethodName.GRPO_OPSD: MethodFacts(
        title="GRPO + OPSD",
        summary="The sum of both: the verifier's credit and, weighted by alpha, imitation of the hinted model.",
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
    """A kind of hint shown to the teacher."""

    title: str
    summary: str
    in_row: bool = False
    """Whether it is part of the row, so that every row must have it."""


HINTS: Mapping[Hint, HintFacts] = {
    Hint.ANSWER: HintFacts(title="Answer", summary="The row's reference answer.", in_row=True),
    Hint.SOLUTION: HintFacts(title="Worked solution", summary="The row's worked solution.", in_row=True),
    Hint.TRAJECTORY: HintFacts(
        title="Trajectory", summary="A recorded solution path, such as that of a stronger model.", in_row=True
    ),
    Hint.PRIVILEGED: HintFacts(
        title="Written for the teacher",
        summary="The row's own text for the teacher: `teacher_prompt`, `privileged_context`, or the column mapped as "
        "the hint.",
        in_row=True,
    ),
    Hint.GRADER: HintFacts(
        title="What the verifier looks up",
        summary="The row's values in the verifier's `{{item...}}` templates; for a Python verifier, the row without "
        "the question.",
        in_row=True,
    ),
    Hint.SIBLING: HintFacts(
        title="Right completion",
        summary="A successful completion of the same question and step. Without one the teacher is not used.",
    ),
    Hint.WRONG_SIBLING: HintFacts(
        title="Wrong completion", summary="A failed completion of the same question and step."
    ),
    Hint.PLACEBO: HintFacts(
        title="Placebo (control)", summary="Another row's hint: the effect of any hint being present."
    ),
    Hint.EMPTY: HintFacts(
        title="Empty (control)", summary="The hint template with no content: the effect of the template."
    ),
}

ROW_HINTS = tuple(hint for hint, facts in HINTS.items() if facts.in_row)

METHOD_SCHEMA: dict[str, Any] = {"x-methods": {name: asdict(facts) for name, facts in METHODS.items()}}
"""Extra schema of the setting `method`."""
HINT_SCHEMA: dict[str, Any] = {"x-hints": {name: asdict(facts) for name, facts in HINTS.items()}}
"""Extra schema of the setting `hint`."""
