"""Owns the rehearsal: real steps on a policy that is thrown away, to see that one can be taken and what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.engine.checkpoint import Checkpoint
from worker.engine.faults import Fault
from worker.engine.loop import make_learner
from worker.engine.policy import Policy
from worker.engine.report import EvaluationReport, StepReport
from worker.engine.settings import Settings
from worker.engine.step import take_step
from worker.engine.types import Reward, Task, Wish
from worker.engine.world import World

PHASES = ("rollout", "reward", "teacher", "update", "report")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a step of a run took; nothing but the fault where it could not be taken."""

    seconds: dict[str, float]
    """By phase."""
    completion_tokens_mean: float
    peak_memory_bytes: float
    fault: str | None
    """What stopped it, such as the end of the memory, with what to change."""


def rehearse(
    settings: Settings, *, policy: Policy, teacher: Policy | None, tasks: Sequence[Task], reward: Reward
) -> Rehearsal:
    """Take a step on these rows with everything a run does but its diagnostics. The policy is spent afterwards.

    On a GPU a second one is taken and timed: the first also compiles. The verifier's errors do not stop it.
    """
    plain = replace(settings, generator="transformers", diagnostic_interval=0, max_error_share=1.0)
    try:
        learner = make_learner(
            plain,
            policy=policy,
            teacher=teacher,
            tasks=tasks,
            held_out=(),
            reward=reward,
            observer=Unheard(),
            world=World.alone(),
        )
        for step in range(1, 3 if policy.device.type == "cuda" else 2):
            metrics = take_step(learner, step).metrics
    except Fault as fault:
        return Rehearsal(seconds={}, completion_tokens_mean=0.0, peak_memory_bytes=0.0, fault=fault.message)
    return Rehearsal(
        seconds={phase: metrics[f"{phase}_s"] for phase in PHASES if f"{phase}_s" in metrics},
        completion_tokens_mean=metrics["completion_tokens_mean"],
        peak_memory_bytes=metrics["peak_memory_bytes"],
        fault=None,
    )


class Unheard:
    """An observer that keeps nothing."""

    def wish(self) -> Wish:
        return Wish.CONTINUE

    def step(self, report: StepReport) -> None:
        pass

    def evaluation(self, report: EvaluationReport) -> None:
        pass

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        pass

    def event(self, *, level: str, code: str, message: str) -> None:
        pass
