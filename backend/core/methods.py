"""The methods of credit assignment: what each is called, needs and reads. `worker/engine/methods/` has their code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from backend.core.hints import Hint

FIRM_REJECTION = -1.6
"""Log-ratio of a first error, about ln 0.2: the token is five times less likely under the teacher. Not tuned."""


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
    GOOD_PREFIX = "good_prefix"
    SC_GRPO = "sc_grpo"
    SFT = "sft"


class TeacherKind(StrEnum):
    """Source of the teacher's log-probabilities."""

    NONE = "none"
    """No teacher."""
    HINTED = "hinted"
    """The policy's own network, with a hint in its prompt."""
    EXTERNAL = "external"
    """Another model with the same tokenizer, with the student's own prompt."""


class Part(StrEnum):
    """Part of a method that has settings of its own. Settings of no part are read by all methods."""

    HINT = "hint"
    """A hint that the job chooses."""
    TEACHER = "teacher"
    """Weights of a teacher that is the policy itself."""
    LARGER = "larger"
    """Another model as the teacher."""
    REWARD = "reward"
    """Learning from scores at all."""
    ADVANTAGE = "advantage"
    """Distance of a completion's reward from its group's mean."""
    FIRST_ERROR = "first_error"
    """A teacher that may be ignored after the first token that it rejects."""
    REASONING = "reasoning"
    """A teacher that may be ignored after the reasoning."""
    FADING = "fading"
    """Strength of the teacher next to the verifier."""
    WEIGHTS = "weights"
    """Weights of the tokens."""
    SUM = "sum"
    """Distillation added to the verifier's credit."""
    RATIO = "ratio"
    """A log-ratio as an advantage."""
    DIVERGENCE = "divergence"
    """Distributions in place of the sampled token."""
    CONTRAST = "contrast"
    """Contrast with wrong completions."""
    SATURATION = "saturation"
    """Bounds of an added contrast."""
    PREFIX = "prefix"
    """Value of what comes before the first error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How a method distributes a completion's score over its tokens."""

    name: MethodName
    title: str
    summary: str
    source: str
    advantage: str
    """The token advantage as a formula, in the notation of docs/methods.md."""
    teacher: TeacherKind
    """The teacher next to the verifier."""
    rewarded: bool = True
    """Whether it learns from the verifier's scores; other methods only measure with them."""
    imitates: bool = False
    """Whether it imitates texts of the rows: it samples nothing in training, and assigns no credit."""
    fades: bool = False
    """Whether `lambda` scales the teacher's effect: at 0 it is GRPO and needs no teacher."""
    distils: bool = False
    """Whether it also learns where the advantage is 0, and `divergence` may replace its sampled form."""
    values_tokens: bool = False
    """Whether its advantage is a token's value less its group's mean, so that groups that are all wrong teach too."""
    weighs_by_divergence: bool = False
    """Whether a divergence over the vocabulary weights tokens, in groups with two right ones and a wrong one."""
    hint: Hint | None = None
    """The only hint that the method allows."""
    contrast: Hint | None = None
    """A second hint that its teacher sees, whose log-probabilities are the contrast."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Published values that differ from the usual defaults; a preset and the job's own settings override them."""
    parts: tuple[Part, ...]
    """What it has: the settings of these parts change what it learns, those of other parts do not."""

    @property
    def silenced_by(self) -> Literal["lambda", "alpha"] | None:
        """The setting that multiplies the teacher's effect: at 0 the method is GRPO and needs no teacher."""
        if self.fades:
            return "lambda"
        return "alpha" if self.distils and self.rewarded else None

    def needs_teacher(self, lam: float, *, alpha: float) -> bool:
        """Check whether a teacher pass is needed: not where its effect would be multiplied by 0."""
        return (
            self.teacher is not TeacherKind.NONE and {"lambda": lam, "alpha": alpha, None: 1.0}[self.silenced_by] != 0
        )


_SCORED = (Part.REWARD, Part.ADVANTAGE)
_HINTED = (Part.HINT, Part.TEACHER, Part.REASONING)
_DISTILLED = (Part.RATIO, Part.DIVERGENCE)
_ALL = (
    Method(
        name=MethodName.RLSD,
        title="RLSD",
        summary="The verifier decides whether a completion is right; the model itself, given a hint, decides which "
        "tokens get the credit.",
        source="arXiv 2604.03128",
        advantage="`A * ((1 - λ) + λ * clip(exp(sign(A) * δ_t)))`, `δ_t = log P_T(y_t | r) - log P_S(y_t)`",
        teacher=TeacherKind.HINTED,
        fades=True,
        parts=(*_SCORED, *_HINTED, Part.FIRST_ERROR, Part.FADING, Part.WEIGHTS),
    ),
    Method(
        name=MethodName.GRPO,
        title="GRPO",
        summary="Verifier only: every token of a completion gets the same credit. No teacher pass.",
        source="arXiv 2402.03300",
        advantage="`A`",
        teacher=TeacherKind.NONE,
        parts=_SCORED,
    ),
    Method(
        name=MethodName.RLSD_TEMPLATE,
        title="RLSD against its template",
        summary="RLSD relative to an empty hint, which cancels the effect of the hint template itself.",
        source="this project",
        advantage="as `rlsd`, `δ_t = log P_T(y_t | r) - log P_T(y_t | empty)`",
        teacher=TeacherKind.HINTED,
        fades=True,
        contrast=Hint.EMPTY,
        parts=(*_SCORED, *_HINTED, Part.FIRST_ERROR, Part.FADING, Part.WEIGHTS),
    ),
    Method(
        name=MethodName.CEPO,
        title="CEPO",
        summary="RLSD with weights from the difference between a right hint and a failed completion of the question.",
        source="arXiv 2605.19436",
        advantage="as `rlsd`, `δ_t = log P_T(y_t | r) - log P_T(y_t | wrong)`",
        teacher=TeacherKind.HINTED,
        fades=True,
        contrast=Hint.WRONG_SIBLING,
        defaults={"lambda_decay_steps": 25, "eps_w": (0.5, 0.5)},
        parts=(*_SCORED, *_HINTED, Part.FIRST_ERROR, Part.FADING, Part.WEIGHTS, Part.CONTRAST),
    ),
    Method(
        name=MethodName.RLCSD,
        title="RLCSD",
        summary="The verifier's credit plus a bounded contrast of right and wrong completions that keeps its sign.",
        source="arXiv 2606.11709",
        advantage="`A + λ tanh(δ_t / τ)` with `cepo`'s `δ_t`, held on `A`'s side of 0",
        teacher=TeacherKind.HINTED,
        fades=True,
        contrast=Hint.WRONG_SIBLING,
        defaults={"lambda_decay_steps": 0, "contrast_samples": 4, "hint": Hint.SIBLING},
        parts=(*_SCORED, *_HINTED, Part.FIRST_ERROR, Part.FADING, Part.CONTRAST, Part.SATURATION),
    ),
    Method(
        name=MethodName.OPSD,
        title="OPSD",
        summary="The model imitates itself given the hint, on its own completions. The verifier only measures.",
        source="arXiv 2601.18734",
        advantage="`clip(δ_t, -c, c)`, `rlsd`'s `δ_t`; no reward",
        teacher=TeacherKind.HINTED,
        rewarded=False,
        distils=True,
        defaults={"teacher": "base"},
        parts=(*_HINTED, Part.FIRST_ERROR, *_DISTILLED),
    ),
    Method(
        name=MethodName.SDPO,
        title="SDPO",
        summary="OPSD with a successful completion of the same question as the hint: rows need no reference.",
        source="arXiv 2601.20802",
        advantage="as `opsd`",
        teacher=TeacherKind.HINTED,
        rewarded=False,
        distils=True,
        hint=Hint.SIBLING,
        parts=(Part.TEACHER, Part.REASONING, Part.FIRST_ERROR, *_DISTILLED),
    ),
    Method(
        name=MethodName.GRPO_OPSD,
        title="GRPO + OPSD",
        summary="The sum of both: the verifier's credit and, weighted by alpha, imitation of the hinted model.",
        source="arXiv 2604.03128",
        advantage="`A + α * clip(δ_t, -c, c)`",
        teacher=TeacherKind.HINTED,
        distils=True,
        parts=(*_SCORED, *_HINTED, Part.FIRST_ERROR, Part.SUM, *_DISTILLED),
    ),
    Method(
        name=MethodName.OPD,
        title="OPD",
        summary="The model imitates a larger one with the same tokenizer, on its own completions. The verifier only "
        "measures.",
        source="arXiv 2306.13649",
        advantage="`clip(log P_big(y_t) - log P_S(y_t), -c, c)`; no reward",
        teacher=TeacherKind.EXTERNAL,
        rewarded=False,
        distils=True,
        parts=(Part.LARGER, Part.REASONING, Part.FIRST_ERROR, *_DISTILLED),
    ),
    Method(
        name=MethodName.GOOD_PREFIX,
        title="Good prefix",
        summary="Wrong completions get part of the credit up to the first token that the model itself, given a hint, "
        "rejects. Questions that are never solved teach too.",
        source="arXiv 2601.18984",
        advantage="`u_t - mean(u)` over the group; `u_t` 1 in right completions, in wrong ones `α` before the first "
        f"`δ_t < {FIRM_REJECTION}`, else 0",
        teacher=TeacherKind.HINTED,
        values_tokens=True,
        parts=(Part.REWARD, *_HINTED, Part.PREFIX),
    ),
    Method(
        name=MethodName.SC_GRPO,
        title="SC-GRPO",
        summary="GRPO whose tokens count more where another right completion of the question, as a hint, changes what "
        "the model would write next. Rows need no reference.",
        source="arXiv 2606.18810",
        advantage="`A * D_t / (D_t + c)`, `D_t = KL(P_T(. | r) || P_S)`, `c` the 75th percentile of `D`; `A` in groups "
        "without two right completions and a wrong one",
        teacher=TeacherKind.HINTED,
        weighs_by_divergence=True,
        hint=Hint.SIBLING,
        parts=(*_SCORED, Part.TEACHER, Part.REASONING),
    ),
    Method(
        name=MethodName.SFT,
        title="SFT",
        summary="The model imitates the rows' worked solutions. Nothing is sampled in training; the verifier only "
        "measures. What every method with a reward has to beat.",
        source="arXiv 2203.02155",
        advantage="none: the loss is `-log P_S(y*_t)`, the mean over the tokens of the rows' own `y*`",
        teacher=TeacherKind.NONE,
        rewarded=False,
        imitates=True,
        defaults={"learning_rate": 3e-4},
        parts=(),
    ),
)
METHODS: Mapping[MethodName, Method] = {method.name: method for method in _ALL}
IMITATING = frozenset(name for name, method in METHODS.items() if method.imitates)
"""Methods whose steps sample nothing."""


def method_named(name: str) -> Method:
    """Return the method. ValueError listing the available ones."""
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    return METHODS[MethodName(name)]


def methods_with(part: Part) -> list[MethodName]:
    """Return the methods that have a part."""
    return [name for name, method in METHODS.items() if part in method.parts]
