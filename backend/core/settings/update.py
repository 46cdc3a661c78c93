"""Settings of what is learned: how much, from which updates, into which adapter."""

from typing import Annotated

from pydantic import Field, field_validator

from backend.core.methods import Part
from backend.core.settings.about import About, Strict, When
from backend.core.settings.choices import Combine, Loss, RewardScale, Schedule, listed


class Training(Strict):
    """The settings that decide how much is learned, and how fast."""

    max_steps: Annotated[
        int,
        About(
            "Training steps",
            unit="steps",
            why="Long enough for most tasks to level off; the curve on the job page shows whether more would help.",
            may_change=True,
        ),
    ] = Field(200, ge=1, le=1_000_000, description="Optimiser steps, without those of a warm start.")
    batch_size: Annotated[
        int,
        About(
            "Questions per step",
            symbol="P",
            unit="questions",
            why="Enough questions that a single odd one does not dominate the step, few enough for a small machine.",
        ),
    ] = Field(8, ge=1, le=4096, description="Prompts per step.")
    num_generations: Annotated[
        int,
        About(
            "Completions per question",
            symbol="G",
            unit="completions",
            why="With 8 completions, a question of medium difficulty nearly always gets right and wrong answers, and "
            "only such groups have a signal.",
        ),
    ] = Field(8, ge=2, le=256, description="Completions per prompt.")
    max_completion_tokens: Annotated[
        int,
        About(
            "Maximum completion length",
            unit="tokens",
            why="Room for a few steps of reasoning. Raise it if the job page shows many truncated completions.",
        ),
    ] = Field(256, ge=1, le=1_000_000, description="Longest completion.")
    learning_rate: Annotated[
        float,
        About(
            "Learning rate",
            why="Suits small adapters of most models. If it is too high, the reward rises and then falls.",
        ),
    ] = Field(1e-4, gt=0, le=1, description="Step size of AdamW.")


class Update(Strict):
    """The policy's update."""

    scale_rewards: Annotated[
        RewardScale,
        listed(*RewardScale),
        About(
            "Scale of rewards",
            why="The deviation gives hard and easy questions equal weight, as most recipes do.",
            part=Part.ADVANTAGE,
        ),
    ] = Field(
        RewardScale.STD,
        title="Scale Rewards",
        description="Divisor of advantages: their group's standard deviation (std, or true), nothing (none, or false; "
        "Dr. GRPO), or the group's mean reward, which gives hard questions more weight (mean; MaxRL).",
    )
    combine: Annotated[
        Combine,
        listed(*Combine),
        About(
            "Components of a multi verifier",
            why="The formula of the verifier decides. Worth it if one component varies far more than the others and "
            "drowns them.",
            part=Part.ADVANTAGE,
        ),
    ] = Field(
        Combine.SUM,
        title="Combine",
        description="How the graders of a `multi` verifier become one advantage: from their sum (sum), or each "
        "normalised within its group before they are added with the weights of `calculate_output` (normalise; GDPO).",
    )
    loss: Annotated[
        Loss, listed(*Loss), About("Loss averaging", why="Every token counts the same, so long texts are not favoured.")
    ] = Field(
        Loss.TOKEN_MEAN,
        title="Loss",
        description="Mean over the batch's tokens, mean of the sequences' token means, or sum over a constant (Dr. "
        "GRPO).",
    )
    mask_truncated: Annotated[
        bool,
        About(
            "Leave truncated completions out of the loss (DAPO)",
            why="Off: an answer that is cut off mostly scores low, which teaches brevity. Worth it if good ones are.",
        ),
    ] = Field(
        False,
        description="Leave completions that were cut off at `max_completion_tokens` out of the loss. Their scores "
        "still count in their group's mean (DAPO's overlong filtering, as in TRL).",
    )
    overlong_buffer: Annotated[
        int,
        About(
            "Tokens before the limit that cost reward (DAPO)",
            zero="none",
            unit="tokens",
            why="Off: the reward is the verifier's score alone. Worth it if completions grow up to their limit.",
            part=Part.ADVANTAGE,
        ),
    ] = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Length of the last part of `max_completion_tokens` in which each token lowers the reward, in a "
        "line from 0 to `overlong_penalty` (DAPO's soft overlong punishment); 0: none.",
    )
    overlong_penalty: Annotated[
        float,
        About(
            "Penalty at the limit",
            why="As published: as much as a right answer is worth, for scores from 0 to 1.",
            part=Part.ADVANTAGE,
            when=When("overlong_buffer", 0, differs=True),
        ),
    ] = Field(1.0, ge=0, le=1000, description="What a completion of `max_completion_tokens` loses of its reward.")
    resample_rounds: Annotated[
        int,
        About(
            "Resampling rounds for groups without signal (DAPO)",
            unit="rounds",
            why="Off: resampling costs time. Worth it if most groups are all right or all wrong.",
            part=Part.REWARD,
        ),
    ] = Field(
        0,
        ge=0,
        le=100,
        description="How often groups without signal are replaced with new prompts within a step (DAPO).",
    )
    eps_low: Annotated[float, About("Policy ratio clip, lower", why="The usual PPO clip.")] = Field(
        0.2, gt=0, lt=1, description="Lower clipping range of the policy ratio."
    )
    eps_high: Annotated[
        float,
        About(
            "Policy ratio clip, upper",
            why="Slightly wider than the lower clip, so that rare good tokens can become likelier.",
        ),
    ] = Field(0.28, gt=0, le=10, description="Upper clipping range of the policy ratio.")
    dual_clip: Annotated[
        float,
        About(
            "Dual clip (wrong completions)",
            symbol="c",
            why="The usual value; it limits the effect of a single bad completion.",
        ),
    ] = Field(3.0, gt=1, le=100, description="Bound of the loss for negative advantages.")
    kl_beta: Annotated[
        float,
        About(
            "Penalty for distance to the base model",
            zero="none",
            symbol="β",
            why="Off, as in most recipes for verified rewards: it costs a pass of the base model and slows learning.",
        ),
    ] = Field(
        0.0,
        ge=0,
        le=100,
        description="Weight of the KL divergence to the model without its adapter in the loss (as in GRPO); 0: none, "
        "and no pass of that model.",
    )
    lr_schedule: Annotated[
        Schedule,
        listed(*Schedule),
        About(
            "Learning rate schedule",
            why="A run of any length then learns at one rate, also if its steps change. A rate that falls makes the "
            "last steps calmer.",
        ),
    ] = Field(
        Schedule.CONSTANT,
        title="Lr Schedule",
        description="Course of the learning rate: constant, or falling to 0 over `max_steps` in a line or a cosine.",
    )
    lr_warmup_steps: Annotated[
        int,
        About(
            "Warm-up steps",
            unit="steps",
            why="Off: a step of an adapter that starts at 0 is small, and its gradient is clipped.",
        ),
    ] = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Steps over which the learning rate rises from 0 in a line; fewer than `max_steps`.",
    )
    weight_decay: Annotated[float, About("Weight decay", why="A light regularisation of the adapter.")] = Field(
        0.01, ge=0, le=1, description="Weight decay of AdamW."
    )
    max_grad_norm: Annotated[
        float, About("Gradient norm limit", why="The usual limit, which affects only outliers.")
    ] = Field(1.0, gt=0, le=1000, description="Norm to which larger gradients are scaled down.")


ALL_LINEAR = "all-linear"


class Lora(Strict):
    r: Annotated[
        int, About("Rank", symbol="r", why="Enough for most tasks; a larger rank learns faster and forgets more.")
    ] = Field(16, ge=1, le=512, description="Rank of the adapter.")
    alpha: Annotated[float, About("Scale", symbol="α", why="Twice the rank, as usual.")] = Field(
        32, gt=0, le=4096, description="Scale: the update is multiplied by alpha / r."
    )
    dropout: Annotated[float, About("Dropout", why="Training on rewards rarely overfits within one job.")] = Field(
        0.0, ge=0, lt=1, description="Fraction of the adapter's inputs dropped in training."
    )
    target_modules: Annotated[
        str | tuple[str, ...],
        About("Layers", why="All of them: an adapter of few layers learns less at the same rank.", in_form=False),
    ] = Field(
        ALL_LINEAR,
        description="Names of the layers that get an adapter (the ends of their full names), or `all-linear`.",
    )

    @field_validator("target_modules")
    @classmethod
    def _some(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError("name at least one layer, or use all-linear")
        return value
