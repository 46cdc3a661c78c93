"""Before the first step of a job: checks that save money, each carried out once and kept on record.

`run_checks` takes them as a list of steps, in the order in which they are carried out; the first that fails ends the
list, unless the job was told to go on. A job that has a checkpoint is past all of this.
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
from backend.verdict import told
from backend.verifiers.selfcheck import ProbeRow, spread
from backend.verifiers.specs import Spec
from worker.checks.self_check import check_verifier
from worker.engine.distributed import ProcessGroup
from worker.engine.types import Task
from worker.sandbox.pool import Sandbox

CHECKS_FILE = "checks.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStep:
    """`carry_out` answers the common form (backend/verdict.py). `together`: all processes of the job take part in it,
    and what the leader found counts; otherwise the leader does it alone.
    """

    check: CheckName
    wanted: bool
    carry_out: Callable[[], Json]
    together: bool = False

    def result(self, world: ProcessGroup) -> Json | None:
        """What the leader knows afterwards; None in the other processes."""
        found = self.carry_out() if self.together or world.leads else None
        return found if world.leads else None


def self_check(tasks: Sequence[Task], *, spec: RlsdSettings, verifier: Spec, sandbox: Sandbox) -> CheckStep:
    """The verifier tried on training rows."""
    rows = [_row(tasks[place]) for place in spread(spec.self_check_rows, over=len(tasks))]
    return CheckStep(
        check="self_check",
        wanted=spec.self_check_rows > 0,
        carry_out=lambda: check_verifier(verifier, rows, sandbox=sandbox),
    )


def run_checks(lease: Lease, steps: Sequence[CheckStep], *, spec: RlsdSettings, world: ProcessGroup) -> bool:
    """Carry out what is due and record it. False where the job has been paused: leave it alone."""
    for step in steps:
        if step.wanted and world.as_leader(world.leads and _is_due(lease, step.check)):
            found = step.result(world)
            if not world.as_leader(found is not None and _recorded(lease, step.check, found, spec=spec)):
                return False
    return True


def run_checks_in(
    folder: Path, steps: Sequence[CheckStep], *, spec: RlsdSettings, world: ProcessGroup, ignore: bool, resume: bool
) -> Json:
    """The same for `rlsd train`: print the verdicts, keep them in the folder, and return what a job would record.

    Raises AppError where one fails, unless failures are ignored. A run that is resumed has its checks behind it.
    """
    path = folder / CHECKS_FILE
    if resume:
        return json.loads(path.read_text()) if path.exists() else checks.nothing()
    found = json.loads(path.read_text()) if world.leads and path.exists() else checks.nothing()
    for step in steps:
        result = step.result(world) if step.wanted else None
        if result is None:
            continue
        print("\n".join([f"{checks.TITLES[step.check]}:", *told(result)]), flush=True)
        found[step.check] = result
        if checks.pauses(result, on_failed_check=spec.on_failed_check):
            if not ignore:
                raise AppError(f"The {checks.TITLES[step.check]} failed: --ignore-checks trains regardless.")
            found["overridden_at"] = int(time.time())
    if world.leads:
        path.write_text(json.dumps(found))
    return found


def _is_due(lease: Lease, check: CheckName) -> bool:
    with transaction() as session:
        job = held_job(session, lease)
        job.progress_at = utc_now()
        begun = session.scalar(select(Checkpoint.id).where(Checkpoint.job_id == job.id).limit(1))
        return begun is None and checks.checks_of(job)[check] is None


def _recorded(lease: Lease, check: CheckName, found: Json, *, spec: RlsdSettings) -> bool:
    """Keep what was found; whether the job goes on. It pauses in the same transaction."""
    with transaction() as session:
        job = held_job(session, lease)
        job.progress_at = utc_now()
        checks.record(session, job, check=check, result=found)
        if checks.pauses(found, on_failed_check=spec.on_failed_check):
            control.rest(session, lease, error=checks.refusal(check, found))
            return False
        return True


def _row(task: Task) -> ProbeRow:
    return ProbeRow(number=task.row, item=task.item, answer=task.answer, solution=task.solution, messages=task.messages)
