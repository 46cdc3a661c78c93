"""Settings of the teacher and of the credit that its signal becomes."""

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from backend.core.hints import HINT_SCHEMA, ROW_HINTS, Hint
from backend.core.methods import Part
from backend.core.settings.about import About, Strict, When
from backend.core.settings.choices import Divergence, Dtype, TeacherWeights, listed
from backend.core.settings.limits import ModelName

PRACTICE_HINTS = (*ROW_HINTS, Hint.PLACEBO)


def _in_row(hint: Hint) -> Hint:
    if hint not in ROW_HINTS:
        raise ValueError(f"must be one of {', '.join(ROW_HINTS)}")
    return hint


def _in_prompt(hint: Hint) -> Hint:
    if hint not in PRACTICE_HINTS:
        raise ValueError(f"must be one of {', '.join(PRACTICE_HINTS)}")
    return hint


class Teacher(Strict):
    """What the teacher is and sees, and where it is heard."""

    hint: Annotated[
        Hint,
        About(
            "Hint for the teacher",
            why="As published: every row has an answer. A worked solution contains more, so the preset Steady uses it.",
            part=Part.HINT,
        ),
    ] = Field(
        Hint.ANSWER,
        description="What the teacher sees and the student does not. `x-hints` describes each kind.",
        json_schema_extra=HINT_SCHEMA,
    )
    placebo_of: Annotated[
        Hint,
        AfterValidator(_in_row),
        listed(*ROW_HINTS),
        About(
            "Kind of placebo hint",
            why="The same kind as the hint itself, so that only the content differs.",
            part=Part.HINT,
            when=When("hint", Hint.PLACEBO),
        ),
    ] = Field(Hint.ANSWER, title="Placebo Of", description="The kind of hint that `placebo` takes from another row.")
    teacher: Annotated[
        TeacherWeights,
        About(
            "Teacher weights",
            why="A snapshot that is updated every few steps is stable and still keeps up with the model.",
            part=Part.TEACHER,
        ),
    ] = Field(TeacherWeights.SNAPSHOT, description="The model whose probabilities weight the tokens.")
    teacher_sync_steps: Annotated[
        int,
        About(
            "Steps between teacher snapshots",
            unit="steps",
            why="As published; a shorter interval makes the teacher noisier, a longer one lets it fall behind.",
            part=Part.TEACHER,
        ),
    ] = Field(10, ge=1, le=1_000_000, description="Steps between two snapshots of the teacher.")
    teacher_model: Annotated[
        ModelName | None,
        About(
            "Larger teacher model",
            why="No default: which larger model does your task well depends on the task.",
            part=Part.LARGER,
            may_change=True,
        ),
    ] = Field(None, description="The larger model of `opd`: a listed name or a hub id.")
    teacher_dtype: Annotated[
        Dtype,
        About(
            "Number format of the larger teacher",
            why="Exact on every device; bfloat16 halves its memory on a GPU.",
            part=Part.LARGER,
        ),
    ] = Field("float32", description="Number format of the teacher model.")
    teacher_device: Annotated[
        str,
        About(
            "Device of the larger teacher (auto, cpu, cuda:1)",
            why="On the training device, or on another GPU with enough memory.",
            part=Part.LARGER,
            may_change=True,
        ),
    ] = Field(
        "auto",
        pattern="^(auto|cpu|cuda(:\\d+)?)$",
        description="Device of the teacher model: auto, cpu, cuda or cuda:1.",
    )
    first_error: Annotated[
        bool,
        About(
            "First-error mask",
            why="What follows a first error mostly results from it, so the preset Steady does not penalise it.",
            part=Part.FIRST_ERROR,
        ),
    ] = Field(False, description="Ignore the teacher after the first token that it clearly rejects.")
    reasoning_only: Annotated[
        bool,
        About(
            "Teacher credit in the reasoning only",
            why="Most models have no marked reasoning; for them the whole text counts.",
            part=Part.REASONING,
        ),
    ] = Field(False, description="Use the teacher only up to `reasoning_end`.")
    reasoning_end: Annotated[
        str,
        About(
            "Text that ends the reasoning",
            why="The end tag of most reasoning models.",
            part=Part.REASONING,
            when=When("reasoning_only", False, differs=True),
        ),
    ] = Field("</think>", min_length=1, max_length=200, description="The text that ends the reasoning of a completion.")


class Credit(Strict):
    """How the teacher's signal becomes credit."""

    lam: Annotated[
        float,
        About(
            "Teacher strength",
            symbol="λ",
            why="As published, half; the preset Steady uses full strength, with other safeguards.",
            part=Part.FADING,
        ),
    ] = Field(0.5, alias="lambda", ge=0, le=1, description="Strength of the teacher's weights. 0 is GRPO.")
    lambda_decay_steps: Annotated[
        int,
        About(
            "Steps until λ is 0",
            zero="constant",
            unit="steps",
            why="As published, the teacher fades out; with Steady it stays, since its weights are normalised.",
            part=Part.FADING,
        ),
    ] = Field(50, ge=0, le=1_000_000, description="Steps over which λ falls linearly to 0; 0 keeps it constant.")
    eps_w: Annotated[
        tuple[float, float],
        About(
            "Weight clipping below and above 1",
            symbol="ε_w",
            why="As published, at most 20 %; Steady lets a decisive token count up to 5 times as much.",
            part=Part.WEIGHTS,
        ),
    ] = Field((0.2, 0.2), description="Weights are clipped to [1 - first, 1 + second]. A single number sets both.")
    normalise: Annotated[
        bool,
        About(
            "Divide weights by their mean",
            why="Steady divides by the mean, so that a hint does not raise the weight of whole texts.",
            part=Part.WEIGHTS,
        ),
    ] = Field(False, description="Divide a sequence's weights by their mean.")
    negative_only: Annotated[
        bool,
        About(
            "Teacher credit in wrong completions only",
            why="The teacher can place credit for right and for wrong completions.",
            part=Part.FADING,
        ),
    ] = Field(False, description="Use the teacher only where the advantage is negative.")
    route_mixed: Annotated[
        bool,
        About(
            "Teacher credit in mixed groups only",
            why="As published, RLSD weights all completions; SC-GRPO's authors restrict its weights to such groups.",
            part=Part.FADING,
        ),
    ] = Field(
        False,
        description="Use the teacher only in groups with at least two right completions and a wrong one (SC-GRPO).",
    )
    alpha: Annotated[
        float,
        About(
            "Distillation strength",
            symbol="α",
            why="As in the paper's comparison: the verifier's reward dominates, distillation supports it.",
            part=Part.SUM,
        ),
    ] = Field(0.3, ge=0, le=100, description="Strength of distillation in `grpo_opsd`. 0 is GRPO.")
    divergence: Annotated[
        Divergence,
        listed(*Divergence),
        About("Divergence", why="Comparing only the sampled token is enough, and cheapest.", part=Part.DIVERGENCE),
    ] = Field(
        Divergence.SAMPLED,
        title="Divergence",
        description="What distilling methods compare: the sampled token, or distributions over the vocabulary.",
    )
    divergence_beta: Annotated[
        float,
        About(
            "Teacher share in the mixture",
            symbol="β",
            why="Student and teacher have equal weight.",
            part=Part.DIVERGENCE,
            when=When("divergence", Divergence.JSD),
        ),
    ] = Field(0.5, ge=0, le=1, description="Weight of the teacher in the mixture of `jsd`.")
    divergence_top_k: Annotated[
        int,
        About(
            "Vocabulary entries compared",
            zero="all",
            unit="tokens",
            why="The whole vocabulary is exact; 100 entries are nearly the same and save memory.",
            part=Part.DIVERGENCE,
            when=When("divergence", Divergence.SAMPLED, differs=True),
        ),
    ] = Field(
        0, ge=0, le=1_000_000, description="Tokens compared individually, the rest combined; 0: the full vocabulary."
    )
    divergence_clip: Annotated[
        float,
        About(
            "Clip per vocabulary entry",
            zero="none",
            why="No clipping, as published for most methods.",
            part=Part.DIVERGENCE,
            when=When("divergence", Divergence.SAMPLED, differs=True),
        ),
    ] = Field(
        0.0, ge=0, le=1000, description="Upper bound of one vocabulary entry's term in a token's divergence; 0: none."
    )
    delta_clip: Annotated[
        float,
        About(
            "Log-ratio clip",
            symbol="c",
            unit="nats",
            why="Prevents one very unlikely token from outweighing a whole text.",
            part=Part.RATIO,
            when=When("divergence", Divergence.SAMPLED),
        ),
    ] = Field(5.0, gt=0, le=1000, description="Bound of a log-ratio used as an advantage: opsd, sdpo, opd, grpo_opsd.")
    contrast_samples: Annotated[
        int,
        About(
            "Wrong completions for the contrast",
            symbol="K",
            unit="completions",
            why="As published.",
            part=Part.CONTRAST,
        ),
    ] = Field(1, ge=1, le=256, description="Wrong completions that cepo and rlcsd average over, if available.")
    contrast_tau: Annotated[
        float, About("Contrast saturation", symbol="τ", unit="nats", why="As published.", part=Part.SATURATION)
    ] = Field(0.02, gt=0, le=1000, description="Log-ratio at which rlcsd's contrast saturates.")
    contrast_threshold: Annotated[
        float,
        About(
            "Contrast threshold",
            symbol="δ",
            unit="nats",
            why="As published: smaller contrasts are noise.",
            part=Part.SATURATION,
        ),
    ] = Field(0.02, ge=0, le=1000, description="rlcsd leaves tokens with a contrast up to this unchanged.")

    alpha_prefix: Annotated[
        float,
        About(
            "Value of a good prefix",
            symbol="α",
            why="Half a right completion. In the paper values from 0.3 to 0.7 do alike, and 0.9 harms.",
            part=Part.PREFIX,
        ),
    ] = Field(
        0.5,
        gt=0,
        le=1,
        description="Value of tokens before the first error of a wrong completion; a right one's is 1 (good_prefix).",
    )
    prefix_margin: Annotated[
        int,
        About(
            "Tokens before the first error that count as wrong",
            unit="tokens",
            why="The rejected token is the first that counts as wrong.",
            part=Part.PREFIX,
        ),
    ] = Field(0, ge=0, le=1_000_000, description="Tokens by which a good prefix ends before the first error.")

    @field_validator("eps_w", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return (value, value)
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise ValueError("give one number for both, or two, such as 0.8, 4")
        return value

    @field_validator("eps_w")
    @classmethod
    def _in_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not (0 <= low <= 1 and 0 <= high <= 1000):
            raise ValueError("the first number must be in [0, 1], the second in [0, 1000]")
        return value


class Practice(Strict):
    """Sampling with the hint in the prompt where the model fails without it (PSP, arXiv 2609.29051)."""

    below: Annotated[
        float,
        About(
            "Practise groups with at most this share right",
            why="The middle of the published range, 0.1 to 0.3: such groups teach little as they are.",
        ),
    ] = Field(
        0.2,
        ge=0,
        lt=1,
        description="A group of which at most this share was right is sampled once more with the hint in the prompt, "
        "scored by the same verifier, and trained on under that prompt; the failed group is dropped. 0: groups without "
        "any right completion.",
    )
    hint: Annotated[
        Hint,
        AfterValidator(_in_prompt),
        listed(*PRACTICE_HINTS),
        About(
            "Hint in the prompt",
            why="A worked solution shows how an answer is found; an answer alone can be copied.",
        ),
    ] = Field(
        Hint.SOLUTION,
        title="Hint",
        description="What the model sees in practice, and in no evaluation. `placebo`: another row's hint, as a "
        "control.",
    )
    placebo_of: Annotated[
        Hint,
        AfterValidator(_in_row),
        listed(*ROW_HINTS),
        About(
            "Kind of placebo in practice",
            why="The same kind as the hint itself, so that only the content differs.",
            when=When("hint", Hint.PLACEBO),
        ),
    ] = Field(Hint.SOLUTION, title="Placebo Of", description="The kind of hint that `placebo` takes from another row.")

    @property
    def row_hint(self) -> Hint:
        """The hint that every row must have."""
        return self.placebo_of if self.hint is Hint.PLACEBO else self.hint
