"""Values of settings that are a choice."""

from enum import StrEnum
from typing import Literal

from pydantic import WithJsonSchema

BudgetUnit = Literal["steps", "tokens", "seconds"]
"""Optimizer steps; tokens sampled, scored by the teacher and trained on; seconds of the steps on all devices."""
Dtype = Literal["float32", "bfloat16"]


class TeacherWeights(StrEnum):
    BASE = "base"
    """The base model, adapter disabled."""
    SNAPSHOT = "snapshot"
    """A frozen copy of the adapter, renewed every `teacher_sync_steps` optimizer steps."""
    LIVE = "live"
    """The adapter in training, in evaluation mode."""


class Divergence(StrEnum):
    """Signal of a distilling method at each token: the sampled token, or a divergence over the vocabulary."""

    SAMPLED = "sampled"
    """The sampled token's log-ratio, used as an advantage."""
    FORWARD_KL = "forward_kl"
    """`KL(P_T || P_S)`."""
    REVERSE_KL = "reverse_kl"
    """`KL(P_S || P_T)`."""
    JSD = "jsd"
    """The generalised Jensen-Shannon divergence with weight `divergence_beta`."""


class Sharding(StrEnum):
    """How several processes share one model."""

    REPLICATED = "replicated"
    """Each process holds the whole model (DDP)."""
    SHARDED = "sharded"
    """Each process holds a slice of the base's weights (FSDP)."""


class Loss(StrEnum):
    """Aggregation of the token objectives into the loss."""

    TOKEN_MEAN = "token_mean"  # noqa: S105 - the name of an average, not a secret
    """Mean over all completion tokens of the step."""
    SEQUENCE_MEAN = "sequence_mean"
    """Mean over sequences of the mean over each sequence's tokens."""
    CONSTANT = "constant"
    """Sum over all tokens, divided by sequences times `max_completion_tokens` (Dr. GRPO, arXiv 2503.20783)."""


class RewardScale(StrEnum):
    """Divisor of the distance of a reward from its group's mean."""

    STD = "std"
    """The group's standard deviation (GRPO)."""
    NONE = "none"
    """1 (Dr. GRPO, arXiv 2503.20783)."""
    MEAN = "mean"
    """The group's mean reward (MaxRL, arXiv 2602.02710)."""

    @classmethod
    def _missing_(cls, value: object) -> "RewardScale | None":
        """Read the yes or no of a request, and of jobs from when the deviation was the only divisor."""
        return (cls.STD if value else cls.NONE) if isinstance(value, bool) else None


class Combine(StrEnum):
    """How the components of a `multi` verifier become one reward."""

    SUM = "sum"
    """By the verifier's formula; the advantage is that of the sum (GRPO)."""
    NORMALISE = "normalise"
    """Each component is normalised within its group before they are added (GDPO, arXiv 2601.05242)."""


class RowSampling(StrEnum):
    """Which rows a step draws."""

    UNIFORM = "uniform"
    """Each row once in every pass over the rows."""
    INFORMATIVE = "informative"
    """Rows that were sometimes right before more often than others."""


class Schedule(StrEnum):
    """Course of the learning rate after the warm-up, to the last of `max_steps`."""

    CONSTANT = "constant"
    """The full rate."""
    LINEAR = "linear"
    """A straight line to 0."""
    COSINE = "cosine"
    """Half a cosine wave to 0: slow at both ends."""


class Keep(StrEnum):
    """Which adapter is the job's model."""

    LAST = "last"
    """That of the last step."""
    BEST = "best"
    """That of the evaluated step which did best on one half of the held-out rows; the other half is the result."""


class Preset(StrEnum):
    PAPER = "paper"
    """As published."""
    STEADY = "steady"
    """Constant strength, wide normalised weights, first-error mask, solution hints."""


def listed(*choices: str) -> WithJsonSchema:
    """Describe choices by their values within the schema of their field, not as a schema of their own."""
    return WithJsonSchema({"enum": [str(choice) for choice in choices], "type": "string"})
