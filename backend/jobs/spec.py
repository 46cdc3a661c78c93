"""The only configuration of a job: every setting with its unit, range, default and the paper's symbol.

`RlsdSettings` is what a run obeys, every value decided. Paper: arXiv 2604.03128; the `steady` preset is explained in
`docs/presets.md`.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, field_validator

from backend.jobs.methods import HINT_SCHEMA, METHOD_SCHEMA, Hint, MethodName
from backend.jobs.request import Strict


class TeacherWeights(StrEnum):
    BASE = "base"
    """The base model, adapter switched off."""
    SNAPSHOT = "snapshot"
    """A frozen copy of the adapter, renewed every `teacher_sync_steps`."""
    LIVE = "live"
    """The adapter being trained."""


BudgetUnit = Literal["steps", "tokens", "seconds"]
RowHint = Literal["answer", "solution", "trajectory", "privileged", "grader"]
"""Hints that stand in the row itself."""


class Preset(StrEnum):
    PAPER = "paper"
    """As published."""
    STEADY = "steady"
    """Constant strength, wide normalised weights, first-error mask, solution hints."""


class Lora(Strict):
    r: int = Field(16, ge=1, le=512, description="Rank of the adapter.")
    alpha: float = Field(32, gt=0, le=4096, description="Scale: the update is multiplied by alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the adapter's inputs dropped while training.")
    target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="Names of the layers that get an adapter, or `all-linear`."
    )


class RlsdSettings(Strict):
    """Every setting of a run. Defaults are the paper's (preset `paper`), but for the learning rate, which is LoRA's."""

    preset: Preset = Field(Preset.PAPER, description="The set of defaults below.")
    method: MethodName = Field(
        MethodName.RLSD,
        description="How the verdict on a completion is spread over its tokens. `x-methods` says what each one does, "
        "whom it asks, and which settings it looks at.",
        json_schema_extra=METHOD_SCHEMA,
    )
    lam: float = Field(0.5, alias="lambda", ge=0, le=1, description="Strength of the teacher's weights (λ). 0 is GRPO.")
    lambda_decay_steps: int = Field(
        50, ge=0, le=1_000_000, description="Steps over which λ falls linearly to 0; 0 keeps it constant."
    )
    eps_w: tuple[float, float] = Field(
        (0.2, 0.2), description="Weights stay in [1 - first, 1 + second] (ε_w). A single number stands for both."
    )
    normalise: bool = Field(False, description="Divide a sequence's weights by their mean.")
    first_error: bool = Field(
        False, description="Do not hear the teacher after the first token that it firmly rejects."
    )
    negative_only: bool = Field(False, description="Hear the teacher only where the advantage is negative.")
    reasoning_only: bool = Field(False, description="Hear the teacher only up to `reasoning_end`.")
    reasoning_end: str = Field(
        "</think>", min_length=1, max_length=200, description="The text that ends the reasoning of a completion."
    )
    alpha: float = Field(0.3, ge=0, le=100, description="Strength of the distilled part in `grpo_opsd` (α). 0 is GRPO.")
    delta_clip: float = Field(
        5.0,
        gt=0,
        le=1000,
        description="Bound of a log-ratio that is itself an advantage: opsd, sdpo, opd, grpo_opsd (c).",
    )
    divergence: Literal["sampled", "forward_kl", "reverse_kl", "jsd"] = Field(
        "sampled",
        description="What distilling methods compare: the sampled token, or distributions over the vocabulary.",
    )
    divergence_beta: float = Field(0.5, ge=0, le=1, description="Weight of the teacher in the mixture of `jsd` (β).")
    divergence_top_k: int = Field(
        0, ge=0, le=1_000_000, description="Tokens compared one by one, the rest as one; 0 compares the vocabulary."
    )
    divergence_clip: float = Field(
        0.0, ge=0, le=1000, description="Largest share one vocabulary entry may have in a token's divergence; 0: any."
    )
    contrast_samples: int = Field(
        1, ge=1, le=256, description="Wrong completions that cepo and rlcsd average over, where there are as many (K)."
    )
    contrast_tau: float = Field(0.02, gt=0, le=1000, description="Log-ratio at which rlcsd's contrast saturates (τ).")
    contrast_threshold: float = Field(
        0.02, ge=0, le=1000, description="rlcsd leaves tokens alone whose contrast is no larger (δ)."
    )
    teacher: TeacherWeights = Field(TeacherWeights.SNAPSHOT, description="Whose probabilities weigh the tokens.")
    teacher_sync_steps: int = Field(10, ge=1, le=1_000_000, description="Steps between two snapshots of the teacher.")
    hint: Hint = Field(
        Hint.ANSWER,
        description="What the teacher is shown and the student is not. `x-hints` says what each one is.",
        json_schema_extra=HINT_SCHEMA,
    )
    placebo_of: RowHint = Field("answer", description="What the hint `placebo` takes from another row.")
    success_above: float = Field(
        0.5, ge=-1e9, le=1e9, description="Score above which a completion counts as right, for siblings and statistics."
    )
    teacher_model: str | None = Field(
        None, min_length=1, max_length=300, description="The larger model of `opd`: a listed name or a hub id."
    )
    teacher_dtype: Literal["float32", "bfloat16"] = Field("float32", description="Number format of that model.")
    teacher_device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where that model stands: auto, cpu, cuda or cuda:1."
    )
    num_generations: int = Field(8, ge=2, le=256, description="Completions a prompt (G).")
    batch_size: int = Field(8, ge=1, le=4096, description="Prompts a step.")
    max_prompt_tokens: int = Field(
        2048,
        ge=1,
        le=1_000_000,
        description="Longest prompt, hint included, in tokens. Less fit where the model's context leaves less beside "
        "max_completion_tokens; the pre-flight says how many.",
    )
    max_completion_tokens: int = Field(256, ge=1, le=1_000_000, description="Longest completion in tokens.")
    temperature: float = Field(1.0, gt=0, le=10, description="Sampling temperature.")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Step size of AdamW.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, le=1000, description="Gradients are scaled down to this norm.")
    eps_low: float = Field(0.2, gt=0, lt=1, description="Lower clip of the policy ratio.")
    eps_high: float = Field(0.28, gt=0, le=10, description="Upper clip of the policy ratio.")
    dual_clip: float = Field(3.0, gt=1, le=100, description="Bound of the loss where the advantage is negative (c).")
    loss: Literal["token_mean", "sequence_mean", "constant"] = Field(
        "token_mean",
        description="Mean over the batch's tokens, over sequences of their token means, or by a constant (Dr. GRPO).",
    )
    scale_rewards: bool = Field(
        True, description="Divide advantages by their group's standard deviation; off for Dr. GRPO."
    )
    resample_rounds: int = Field(
        0,
        ge=0,
        le=100,
        description="Times that groups without signal are replaced by fresh prompts within a step (DAPO).",
    )
    micro_batch_tokens: int = Field(
        4_096,
        ge=1,
        le=100_000_000,
        description="Tokens in one pass; lower it when memory runs out.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations instead of keeping them: less memory, more time."
    )
    rollout_sequences: int = Field(
        512, ge=1, le=1_000_000, description="Completions sampled at a time; lower it when memory runs out."
    )
    generator: Literal["transformers", "vllm"] = Field("transformers", description="What samples the completions.")
    devices: int = Field(1, ge=1, le=64, description="Processes that share the job, a GPU each.")
    sharding: Literal["replicated", "sharded"] = Field(
        "replicated", description="Whether each process holds the whole base model or a slice of it (FSDP)."
    )
    max_steps: int = Field(200, ge=1, le=1_000_000, description="Optimiser steps.")
    budget: float = Field(
        0,
        ge=0,
        le=1e15,
        description="What the run may use: it ends, evaluated, with the step that uses it up, before `max_steps` where "
        "that comes first; 0: as much as its steps take.",
    )
    budget_unit: BudgetUnit = Field(
        "steps",
        description="What it is counted in: steps, tokens (written, read by the teacher and trained on), or seconds of "
        "the steps times `devices`.",
    )
    lora: Lora = Field(default_factory=Lora)
    eval_samples: int = Field(4, ge=1, le=256, description="Completions a held-out question (k of avg@k).")
    eval_interval: int = Field(
        0, ge=0, le=1_000_000, description="Steps between evaluations; 0: before and after only."
    )
    eval_rows: int = Field(200, ge=2, le=100_000, description="Most held-out questions used.")
    held_out_share: float = Field(
        0.1, gt=0, lt=1, description="Share of the training rows held out where no validation file is given."
    )
    checkpoint_interval: int = Field(20, ge=1, le=1_000_000, description="Steps between two checkpoints.")
    token_share: float = Field(0.25, ge=0, le=1, description="Share of completions whose per-token credit is kept.")
    max_error_share: float = Field(
        0.5, ge=0, le=1, description="Share of a step's verdicts that may be errors or timeouts before the job pauses."
    )
    max_dead_steps: int = Field(
        20,
        ge=0,
        le=1_000_000,
        description="Steps running without any signal in the scores before the job pauses; 0: never.",
    )
    self_check_rows: int = Field(
        8,
        ge=0,
        le=64,
        description="Training rows on which the verifier is tried before the first step; 0: not at all.",
    )
    preflight_rows: int = Field(
        0, ge=0, le=256, description="Training rows that the base model answers before the first step; 0: none."
    )
    preflight_samples: int = Field(
        8, ge=1, le=64, description="Completions of each of these rows, and as many with the hint."
    )
    on_failed_check: Literal["pause", "go_on"] = Field(
        "pause",
        description="What a job does whose check before training fails: pause until it is resumed, or go on.",
    )
    diagnostic_interval: int = Field(
        10,
        ge=0,
        le=1_000_000,
        description="Steps between measurements of distance to the start and of the placebo, on eight completions; "
        "0: never.",
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Number format of the base model.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train.")

    @field_validator("eps_w", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return (value, value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("eps_w")
    @classmethod
    def _in_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not (0 <= low <= 1 and 0 <= high <= 1000):
            raise ValueError("the first number must lie in [0, 1], the second in [0, 1000]")
        return value


PRESETS: dict[Preset, dict[str, Any]] = {
    Preset.PAPER: {},
    Preset.STEADY: {
        "lambda": 1.0,
        "lambda_decay_steps": 0,
        "eps_w": (0.8, 4.0),
        "normalise": True,
        "first_error": True,
        "hint": "solution",
        "placebo_of": "solution",
    },
}
