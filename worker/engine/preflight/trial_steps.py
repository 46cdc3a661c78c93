"""Trial steps: real training steps on a policy that is discarded, to check that they work and what they cost."""

from dataclasses import dataclass, replace
from statistics import mean

from worker.engine.experiment import Experiment, make_train_context
from worker.engine.faults import Fault
from worker.engine.measure import device_name
from worker.engine.observer import SilentObserver
from worker.engine.step import take_step

PHASES = ("rollout", "reward", "teacher", "update", "report")
COSTS = (
    *("step_s", *(f"{phase}_s" for phase in PHASES)),
    *("rollout_tokens", "teacher_tokens", "update_tokens", "completion_tokens_mean", "peak_memory_bytes"),
)
"""The metrics that are kept of a step."""
TIMED_STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSteps:
    """Costs of a run's steps, or the fault that stopped them."""

    device_name: str
    fault: str | None
    """What stopped a step, such as lack of memory, and what to change."""
    steps: tuple[dict[str, float], ...] = ()
    """`COSTS` of each timed step; 0 where it has no such part."""

    @property
    def seconds(self) -> dict[str, float]:
        """Mean seconds of a step, by phase."""
        return {phase: self.mean(f"{phase}_s") for phase in PHASES}

    def mean(self, name: str) -> float:
        """Average one of the `COSTS` over the steps."""
        return mean(step[name] for step in self.steps)


def run_trial_steps(experiment: Experiment) -> TrialSteps:
    """Take two steps on these rows, as a run does but without diagnostics. The policy must not be used afterwards.

    On a GPU one more step is taken first, which also compiles. Verifier errors do not stop the steps.
    """
    device = experiment.policy.device
    settings = experiment.settings
    plain = {"generator": "transformers", "diagnostic_interval": 0, "max_error_share": 1.0}
    without_warm_start = settings.warm_start.model_copy(update={"rows": 0})
    settings = settings.model_copy(update=plain | {"warm_start": without_warm_start})
    try:
        context = make_train_context(replace(experiment, settings=settings), observer=SilentObserver())
        warming = 1 if device.type == "cuda" else 0
        taken = [take_step(context, step).metrics for step in range(1, warming + TIMED_STEPS + 1)]
    except Fault as fault:
        return TrialSteps(device_name=device_name(device), fault=fault.message)
    steps = tuple({cost: metrics.get(cost, 0.0) for cost in COSTS} for metrics in taken[warming:])
    return TrialSteps(device_name=device_name(device), fault=None, steps=steps)
