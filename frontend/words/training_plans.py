"""How thorough a new job is to be: three sets of numbers, each a point to start from. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from frontend.api.types import Json

PlanName = Literal["quick", "careful", "compare", "as_before"]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """`values`: settings that it gives; what the form says itself wins over them."""

    title: str
    text: str
    values: Mapping[str, int] = field(default_factory=dict)


PLANS: dict[PlanName, TrainingPlan] = {
    "quick": TrainingPlan(
        "Quick look",
        "30 steps, and few questions to measure with: does it learn at all?",
        {"max_steps": 30, "eval_rows": 50, "eval_samples": 2},
    ),
    "careful": TrainingPlan(
        "Careful",
        "200 steps, tried out before the first one, and measured on the way: a model to keep.",
        {"max_steps": 200, "eval_interval": 50, "preflight_rows": 16},
    ),
    "compare": TrainingPlan(
        "Compare methods",
        "Several methods, each with several seeds, on equal terms: which one suits this task?",
        {"max_steps": 100, "eval_interval": 25},
    ),
}
AS_BEFORE = TrainingPlan("As in that job", "Its own numbers, which are filled in below.")
"""Offered where the form is filled from a job."""
ARMS = ("rlsd", "grpo")
"""What is compared at first: this project's method and the usual baseline."""
SEEDS = 3


def offered(*, cloning: bool) -> dict[PlanName, TrainingPlan]:
    return {"as_before": AS_BEFORE, **PLANS} if cloning else PLANS


def comparison_body(job: Json, *, name: str, methods: Mapping[str, str], seeds: int) -> Json:
    """The body of a comparison. `methods`: titles by name, in their order; others are compared with the first."""
    arms = [{"name": title, "x_rlsd": {"method": method}} for method, title in methods.items()]
    without = {key: value for key, value in job.items() if key not in ("seed", "suffix")}
    return {"name": name, "job": without, "arms": arms, "seeds": list(range(seeds))}
