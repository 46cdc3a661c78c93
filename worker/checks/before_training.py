"""Checks before the first step of a job, which avoid wasted training; each runs once and is recorded.

`run_checks` runs them in order; the first failure pauses the job, unless its settings ignore failed checks. A job
with a checkpoint skips them all.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from backend.db.base import Json, utc_now
from backend.db.engine import transaction
from backend.db.training import Checkpoint
from backend.errors import AppError
from backend.jobs import checks, control
from backend.jobs.checks import CheckName
from backend.jobs.lease import Lease, held_job
from backend.jobs.spec import RlsdSettings
from backend.verdict import verdict_lines
from backend.verifiers.selfcheck import ProbeRow, spread
from backend.verifiers.specs import Spec
from worker.checks.self_check import MAX_SAMPLED_ROWS, check_verifier
from worker.engine.distributed import ProcessGroup
from worker.engine.types import Task
from worker.sandbox.pool import Sandbox

CHECKS_FILE = "checks.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStep:
    """One check. `run` returns a verdict (backend/verdict.py). If `collective`, all processes of the job run it and
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


def self_check(tasks: Sequence[Task], *, spec: RlsdSettings, verifier: Spec, sandbox: Sandbox) -> CheckStep:
    """Build the self-check of the verifier on training rows."""
    rows, more = (
        [_probe_row(tasks[place]) for place in spread(count, over=len(tasks))]
        for count in (spec.self_check_rows, MAX_SAMPLED_ROWS)
    )
    return CheckStep(
        check="self_check",
        enabled=spec.self_check_rows > 0,
        run=lambda: check_verifier(verifier, rows, sandbox=sandbox, more_rows=more),
    )


def run_checks(lease: Lease, steps: Sequence[CheckStep], *, spec: RlsdSettings, world: ProcessGroup) -> bool:
    """Run the checks that are due and record them. False if the job was paused: the caller must stop."""
    for step in steps:
        if step.enabled and world.broadcast(world.is_leader and _is_due(lease, step.check)):
            found = step.result(world)
            if not world.broadcast(found is not None and _record(lease, step.check, found, spec=spec)):
                return False
    return True


def run_checks_in(
    folder: Path, steps: Sequence[CheckStep], *, spec: RlsdSettings, world: ProcessGroup, ignore: bool, resume: bool
) -> Json:
    """Run the checks for `rlsd train`: print the verdicts, store them in the folder, return what a job would record.

    Raises AppError if one fails, unless `ignore`. A resumed run skips them.
    """
    path = folder / CHECKS_FILE
    if resume:
        return json.loads(path.read_text()) if path.exists() else checks.no_checks()
    found = json.loads(path.read_text()) if world.is_leader and path.exists() else checks.no_checks()
    for step in steps:
        result = step.result(world) if step.enabled else None
        if result is None:
            continue
        print("\n".join([f"{checks.TITLES[step.check]}:", *verdict_lines(result)]), flush=True)
        found[step.check] = result
        if checks.pauses(result, on_failed_check=spec.on_failed_check):
            if not ignore:
                raise AppError(f"The {checks.TITLES[step.check]} failed. Use --ignore-checks to train anyway.")
            found["overridden_at"] = int(time.time())
    if world.is_leader:
        path.write_text(json.dumps(found))
    return found


def _is_due(lease: Lease, check: CheckName) -> bool:
    with transaction() as session:
        job = held_job(session, lease)
        job.progress_at = utc_now()
        begun = session.scalar(select(Checkpoint.id).where(Checkpoint.job_id == job.id).limit(1))
        return begun is None and checks.checks_of(job)[check] is None


def _record(lease: Lease, check: CheckName, found: Json, *, spec: RlsdSettings) -> bool:
    """Record the result, and pause the job in the same transaction if it failed. Returns whether the job goes on."""
    with transaction() as session:
        job = held_job(session, lease)
        job.progress_at = utc_now()
        checks.record(session, job, check=check, result=found)
        if checks.pauses(found, on_failed_check=spec.on_failed_check):
            control.pause_held(session, lease, error=checks.pause_error(check, found))
            return False
        return True


def _probe_row(task: Task) -> ProbeRow:
    return ProbeRow(number=task.row, item=task.item, answer=task.answer, solution=task.solution, messages=task.messages)
