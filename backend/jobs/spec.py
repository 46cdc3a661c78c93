"""Settings of a job, each with its unit, range, default and the paper's symbol.

`RlsdSettings` contains the resolved value of every setting of a run. Paper: arXiv 2604.03128; `docs/presets.md`
explains the preset `steady`.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, field_validator

from backend.jobs.methods import HINT_SCHEMA, METHOD_SCHEMA, Hint, MethodName
from backend.jobs.request import Strict


class TeacherWeights(StrEnum):
    BASE = "base"
    """The base model, with the adapter disabled."""
    SNAPSHOT = "snapshot"
    """A frozen copy of the adapter, renewed every `teacher_sync_steps`."""
    LIVE = "live"
    """The adapter being trained."""


BudgetUnit = Literal["steps", "tokens", "seconds"]
RowHint = Literal["answer", "solution", "trajectory", "privileged", "grader"]
"""Hints that are part of the row."""


class Preset(StrEnum):
    PAPER = "paper"
    """As published."""
    STEADY = "steady"
    """Constant strength, wide normalised weights, first-error mask, solution hints."""


ALL_LINEAR = "all-linear"


class Lora(Strict):
    r: int = Field(16, ge=1, le=512, description="Rank of the adapter.")
    alpha: float = Field(32, gt=0, le=4096, description="Scale: the update is multiplied by alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Fraction of the adapter's inputs dropped in training.")
    target_modules: str | tuple[str, ...] = Field(
        ALL_LINEAR,
        description="Names of the layers that get an adapter (the ends of their full names), or `all-linear`.",
    )

    @field_validator("target_modules")
    @classmethod
    def _some(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError("name at least one layer, or use all-linear")
        return value


class RlsdSettings(Strict):
    """Every setting of a run. Defaults are the paper's (preset `paper`), except for LoRA's learning rate."""

    preset: Preset = Field(Preset.PAPER, description="The defaults of the other settings.")
    method: MethodName = Field(
        MethodName.RLSD,
        description="How the score of a completion is distributed over its tokens. `x-methods` describes each method, "
        "its teacher, and the settings it uses.",
        json_schema_extra=METHOD_SCHEMA,
    )
    lam: float = Field(0.5, alias="lambda", ge=0, le=1, description="Strength of the teacher's weights (λ). 0 is GRPO.")
    lambda_decay_steps: int = Field(
        50, ge=0, le=1_000_000, description="Steps over which λ falls linearly to 0; 0 keeps it constant."
    )
    eps_w: tuple[float, float] = Field(
        (0.2, 0.2), description="Weights are clipped to [1 - first, 1 + second] (ε_w). A single number sets both."
    )
    normalise: bool = Field(False, description="Divide a sequence's weights by their mean.")
    first_error: bool = Field(False, description="Ignore the teacher after the first token that it clearly rejects.")
    negative_only: bool = Field(False, description="Use the teacher only where the advantage is negative.")
    reasoning_only: bool = Field(False, description="Use the teacher only up to `reasoning_end`.")
    reasoning_end: str = Field(
        "</think>", min_length=1, max_length=200, description="The text that ends the reasoning of a completion."
    )
    alpha: float = Field(0.3, ge=0, le=100, description="Strength of distillation in `grpo_opsd` (α). 0 is GRPO.")
    delta_clip: float = Field(
        5.0,
        gt=0,
        le=1000,
        description="Bound of a log-ratio used as an advantage: opsd, sdpo, opd, grpo_opsd (c).",
    )
    divergence: Literal["sampled", "forward_kl", "reverse_kl", "jsd"] = Field(
        "sampled",
        description="What distilling methods compare: the sampled token, or distributions over the vocabulary.",
    )
    divergence_beta: float = Field(0.5, ge=0, le=1, description="Weight of the teacher in the mixture of `jsd` (β).")
    divergence_top_k: int = Field(
        0, ge=0, le=1_000_000, description="Tokens compared individually, the rest combined; 0: the full vocabulary."
    )
    divergence_clip: float = Field(
        0.0, ge=0, le=1000, description="Upper bound of one vocabulary entry's term in a token's divergence; 0: none."
    )
    contrast_samples: int = Field(
        1, ge=1, le=256, description="Wrong completions that cepo and rlcsd average over, if available (K)."
    )
    contrast_tau: float = Field(0.02, gt=0, le=1000, description="Log-ratio at which rlcsd's contrast saturates (τ).")
    contrast_threshold: float = Field(
        0.02, ge=0, le=1000, description="rlcsd leaves tokens with a contrast up to this unchanged (δ)."
    )
    teacher: TeacherWeights = Field(
        TeacherWeights.SNAPSHOT, description="The model whose probabilities weight the tokens."
    )
    teacher_sync_steps: int = Field(10, ge=1, le=1_000_000, description="Steps between two snapshots of the teacher.")
    hint: Hint = Field(
        Hint.ANSWER,
        description="What the teacher sees and the student does not. `x-hints` describes each kind.",
        json_schema_extra=HINT_SCHEMA,
    )
    placebo_of: RowHint = Field("answer", description="The kind of hint that `placebo` takes from another row.")
    success_above: float = Field(
        0.5, ge=-1e9, le=1e9, description="Score above which a completion counts as right, for siblings and statistics."
    )
    teacher_model: str | None = Field(
        None, min_length=1, max_length=300, description="The larger model of `opd`: a listed name or a hub id."
    )
    teacher_dtype: Literal["float32", "bfloat16"] = Field("float32", description="Number format of the teacher model.")
    teacher_device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Device of the teacher model: auto, cpu, cuda or cuda:1.",
    )
    num_generations: int = Field(8, ge=2, le=256, description="Completions per prompt (G).")
    batch_size: int = Field(8, ge=1, le=4096, description="Prompts per step.")
    max_prompt_tokens: int = Field(
        2048,
        ge=1,
        le=1_000_000,
        description="Longest prompt, including the hint, in tokens. The limit is lower if the model's context length "
        "minus max_completion_tokens is less; the pre-flight reports it.",
    )
    fold_system: bool = Field(
        False,
        description="Put system messages into the user message after them, for models whose chat template has no "
        "system role.",
    )
    max_completion_tokens: int = Field(256, ge=1, le=1_000_000, description="Longest completion in tokens.")
    temperature: float = Field(1.0, gt=0, le=10, description="Sampling temperature.")
    skip_special_tokens: bool = Field(
        False,
        description="Leave the tokenizer's special tokens, such as `<think>` or `<tool_call>` in some models, out of "
        "the text of completions. Off: the verifier and all pages see the text as written. Tokens that end, begin or "
        "pad a sequence are never part of it.",
    )
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Step size of AdamW.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, le=1000, description="Norm to which larger gradients are scaled down.")
    eps_low: float = Field(0.2, gt=0, lt=1, description="Lower clipping range of the policy ratio.")
    eps_high: float = Field(0.28, gt=0, le=10, description="Upper clipping range of the policy ratio.")
    dual_clip: float = Field(3.0, gt=1, le=100, description="Bound of the loss for negative advantages (c).")
    loss: Literal["token_mean", "sequence_mean", "constant"] = Field(
        "token_mean",
        description="Mean over the batch's tokens, mean of the sequences' token means, or sum over a constant "
        "(Dr. GRPO).",
    )
    scale_rewards: bool = Field(
        True, description="Divide advantages by their group's standard deviation; off for Dr. GRPO."
    )
    resample_rounds: int = Field(
        0,
        ge=0,
        le=100,
        description="How often groups without signal are replaced with new prompts within a step (DAPO).",
    )
    micro_batch_tokens: int = Field(
        4_096,
        ge=1,
        le=100_000_000,
        description="Tokens in one pass; lower it if memory runs out.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations instead of keeping them: less memory, more time."
    )
    rollout_sequences: int = Field(
        512, ge=1, le=1_000_000, description="Completions sampled at a time; lower it if memory runs out."
    )
    generator: Literal["transformers", "vllm"] = Field(
        "transformers", description="Library that samples the completions."
    )
    devices: int = Field(1, ge=1, le=64, description="Processes of the job, one GPU each.")
    sharding: Literal["replicated", "sharded"] = Field(
        "replicated", description="Whether each process holds the whole base model or a shard of it (FSDP)."
    )
    max_steps: int = Field(200, ge=1, le=1_000_000, description="Optimiser steps.")
    budget: float = Field(
        0,
        ge=0,
        le=1e15,
        description="Limit on what the run may use. The run ends with the step that reaches it, or at `max_steps`, "
        "whichever is first, and is then evaluated; 0: unlimited.",
    )
    budget_unit: BudgetUnit = Field(
        "steps",
        description="Unit of `budget`: steps, tokens (sampled, scored by the teacher and trained on), or seconds of "
        "the steps times `devices`.",
    )
    lora: Lora = Field(default_factory=Lora)
    eval_samples: int = Field(4, ge=1, le=256, description="Completions per held-out question (k of avg@k).")
    eval_interval: int = Field(
        0, ge=0, le=1_000_000, description="Steps between evaluations; 0: only before and after training."
    )
    eval_rows: int = Field(200, ge=2, le=100_000, description="Maximum number of held-out questions.")
    held_out_share: float = Field(
        0.1, gt=0, lt=1, description="Share of the training rows held out if there is no validation file."
    )
    checkpoint_interval: int = Field(20, ge=1, le=1_000_000, description="Steps between two checkpoints.")
    token_share: float = Field(0.25, ge=0, le=1, description="Share of completions whose per-token credit is stored.")
    max_error_share: float = Field(
        0.5, ge=0, le=1, description="Largest share of errors and timeouts among a step's scores before the job pauses."
    )
    max_dead_steps: int = Field(
        20,
        ge=0,
        le=1_000_000,
        description="Consecutive steps without any signal in the scores before the job pauses; 0: never.",
    )
    self_check_rows: int = Field(
        8,
        ge=0,
        le=64,
        description="Training rows on which the verifier is checked before the first step; 0: none.",
    )
    preflight_rows: int = Field(
        0, ge=0, le=256, description="Training rows that the base model answers before the first step; 0: none."
    )
    preflight_samples: int = Field(
        8, ge=1, le=64, description="Completions per row in the pre-flight, both with and without the hint."
    )
    on_failed_check: Literal["pause", "go_on"] = Field(
        "pause",
        description="What the job does if a check before training fails: pause until resumed, or go on.",
    )
    diagnostic_interval: int = Field(
        10,
        ge=0,
        le=1_000_000,
        description="Steps between diagnostics (distance to the initial model, placebo) on eight completions; "
        "0: never.",
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Number format of the base model.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Device to train on.")

    @field_validator("eps_w", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return (value, value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("eps_w")
    @classmethod
    def _in_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not (0 <= low <= 1 and 0 <= high <= 1000):
            raise ValueError("the first number must be in [0, 1], the second in [0, 1000]")
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
