"""Owns the rehearsal: real steps on a policy that is thrown away, to see that one can be taken and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

from worker.engine.distributed import ProcessGroup
from worker.engine.faults import Fault
from worker.engine.loop import make_learner
from worker.engine.measure import device_name
from worker.engine.model.policy import Policy
from worker.engine.observer import Checkpoint, EvaluationReport, StepReport
from worker.engine.settings import Settings
from worker.engine.step import take_step
from worker.engine.types import ControlSignal, Reward, Task

PHASES = ("rollout", "reward", "teacher", "update", "report")
COSTS = (
    *("step_s", *(f"{phase}_s" for phase in PHASES)),
    *("rollout_tokens", "teacher_tokens", "update_tokens", "completion_tokens_mean", "peak_memory_bytes"),
)
"""What is kept of a step's metrics."""
TIMED_STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSteps:
    """What steps of a run took; nothing but the fault where one could not be taken."""

    device_name: str
    fault: str | None
    """What stopped it, such as the end of the memory, with what to change."""
    steps: tuple[dict[str, float], ...] = ()
    """`COSTS` of each that was timed."""

    @property
    def seconds(self) -> dict[str, float]:
        """Of a step, by phase."""
        return {phase: self.mean(f"{phase}_s") for phase in PHASES}

    def mean(self, name: str) -> float:
        """Of one of the `COSTS`, over the steps."""
        return mean(step[name] for step in self.steps)


def rehearse(
    settings: Settings, *, policy: Policy, teacher: Policy | None, tasks: Sequence[Task], reward: Reward
) -> TrialSteps:
    """Take two steps on these rows with everything a run does but its diagnostics. The policy is spent afterwards.

    On a GPU one more is taken before: it also compiles. The verifier's errors do not stop it.
    """
    name = device_name(policy.device)
    plain = replace(settings, generator="transformers", diagnostic_interval=0, max_error_share=1.0)
    try:
        learner = make_learner(
            plain,
            policy=policy,
            teacher=teacher,
            tasks=tasks,
            held_out=(),
            reward=reward,
            observer=SilentObserver(),
            world=ProcessGroup.alone(),
        )
        warming = 1 if policy.device.type == "cuda" else 0
        taken = [take_step(learner, step).metrics for step in range(1, warming + TIMED_STEPS + 1)]
    except Fault as fault:
        return TrialSteps(device_name=name, fault=fault.message)
    steps = tuple({cost: metrics[cost] for cost in COSTS} for metrics in taken[warming:])
    return TrialSteps(device_name=name, fault=None, steps=steps)


class SilentObserver:
    """An observer that keeps nothing."""

    def wish(self) -> ControlSignal:
        return ControlSignal.CONTINUE

    def step(self, report: StepReport) -> None:
        pass

    def evaluation(self, report: EvaluationReport) -> None:
        pass

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        pass

    def event(self, *, level: str, code: str, message: str) -> None:
        pass
