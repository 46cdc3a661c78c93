"""Training plans for a new job: three sets of settings to start from. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from frontend.api.types import Json

PlanName = Literal["quick", "careful", "compare", "as_before"]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A named set of settings. `values`: defaults that the form's own fields override."""

    title: str
    text: str
    values: Mapping[str, int] = field(default_factory=dict)


PLANS: dict[PlanName, TrainingPlan] = {
    "quick": TrainingPlan(
        "Quick look",
        "30 steps and a small evaluation: does it learn at all?",
        {"max_steps": 30, "eval_rows": 50, "eval_samples": 2},
    ),
    "careful": TrainingPlan(
        "Careful",
        "200 steps, with a pre-flight first and evaluations on the way: a model to keep.",
        {"max_steps": 200, "eval_interval": 50, "preflight_rows": 16},
    ),
    "compare": TrainingPlan(
        "Compare methods",
        "Several methods with several seeds each, on equal terms: which one suits this task?",
        {"max_steps": 100, "eval_interval": 25},
    ),
}
AS_BEFORE = TrainingPlan("As in the original job", "The same settings, filled in below.")
"""Offered if the form is filled from a job."""
ARMS = ("rlsd", "grpo")
"""The methods compared by default: this project's and the usual baseline."""
IMITATION = "sft"
"""Compared too where every row has a worked solution: what a method with a reward has to beat."""
SEEDS = 3


def available_plans(*, cloning: bool) -> dict[PlanName, TrainingPlan]:
    return {"as_before": AS_BEFORE, **PLANS} if cloning else PLANS


def usual_arms(*, solved: bool) -> tuple[str, ...]:
    """Return the methods compared by default. `solved`: every row has a worked solution."""
    return (*ARMS, IMITATION) if solved else ARMS


def comparison_body(job: Json, *, name: str, methods: Mapping[str, str], seeds: int) -> Json:
    """Build the body of a comparison. `methods`: titles by name, in order; the first is the baseline."""
    arms = [{"name": title, "x_rlsd": {"method": method}} for method, title in methods.items()]
    without = {key: value for key, value in job.items() if key not in ("seed", "suffix")}
    return {"name": name, "job": without, "arms": arms, "seeds": list(range(seeds))}
