"""Checks before the first step of a job, which avoid wasted training; each runs once and is recorded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from backend.core.checks import CheckKind, CheckName
from backend.db.base import Json
from backend.verifiers.selfcheck import ProbeRow, spread
from worker.checks.self_check import MAX_SAMPLED_ROWS, check_verifier
from worker.engine.distributed import ProcessGroup
from worker.engine.types import Task
from worker.sandbox.pool import Sandbox
from worker.training.prepare import PreparedJob


class CheckRecord(Protocol):
    """Where the checks of a job are recorded; only the leader calls it."""

    def is_due(self, check: CheckName) -> bool:
        """Report whether the job needs the check: it has no result of it and no checkpoint yet."""

    def record_check(self, check: CheckName, result: Json) -> bool:
        """Record the result. False if the job must not go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStep:
    """One check. `run` returns a verdict (`backend.core.verdict`). If `collective`, all processes of the job run it and
    the leader's result counts; otherwise only the leader runs it.
    """

    check: CheckName
    enabled: bool
    run: Callable[[], Json]
    collective: bool = False

    def result(self, world: ProcessGroup) -> Json | None:
        """Run the check. Returns its result in the leader, None in the other processes."""
        found = self.run() if self.collective or world.is_leader else None
        return found if world.is_leader else None


def self_check(job: PreparedJob, *, sandbox: Sandbox) -> CheckStep:
    """Build the self-check of the verifier on training rows."""
    rows, more = (
        [_probe_row(job.tasks[place]) for place in spread(count, over=len(job.tasks))]
        for count in (job.spec.self_check_rows, MAX_SAMPLED_ROWS)
    )
    return CheckStep(
        check=CheckKind.SELF_CHECK,
        enabled=job.spec.self_check_rows > 0,
        run=lambda: check_verifier(job.grader, rows, sandbox=sandbox, more_rows=more),
    )


def run_check(step: CheckStep, record: CheckRecord, *, world: ProcessGroup) -> bool:
    """Run a check that is due and record it. False if the job must not go on."""
    if not (step.enabled and world.broadcast(world.is_leader and record.is_due(step.check))):
        return True
    found = step.result(world)
    return bool(world.broadcast(found is not None and record.record_check(step.check, found)))


def _probe_row(task: Task) -> ProbeRow:
    return ProbeRow(
        number=task.row,
        item=task.item,
        answer=task.answer,
        accepted=task.accepted,
        solution=task.solution,
        messages=task.messages,
    )
