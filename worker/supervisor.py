"""Beside one trainer: claims the job, renews the lease, sees that wishes are obeyed, classes an unwritten end.

It never imports torch: the trainer is another process, forked for each job (`fork_server`), dead with its worker.
"""

import os
import signal
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO

import structlog
from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Step
from backend.jobs import control, events
from backend.jobs.lease import Lease, LeaseLostError, claim, held_job, renew
from backend.jobs.lifecycle import ControlSignal, JobState
from backend.settings import settings
from worker.fork_server import start_trainer, stop, wait_until_warm

log = structlog.get_logger()

LOOK_S = 0.2
"""Seconds between two looks at the trainer."""
KILL_GRACE_S = 10.0
"""Seconds between SIGTERM and SIGKILL."""
GRACE_STEPS = 3
"""Usual steps that a trainer may take to obey a wish, where that is more than the settings' grace."""
HANG_STEPS = 20
"""A trainer without progress for this many usual steps counts as hung (settings give the least time)."""
LAST_BYTES = 8_000
"""Bytes of a crashed trainer's output that are kept."""


def supervise(job_id: str, *, leaving: Callable[[], bool]) -> bool:
    """Train the job to its end, if it can be claimed. False when another worker has it or it needs none.

    `leaving` tells whether this worker is shutting down.
    """
    wait_until_warm()
    owner = f"{socket.gethostname()}:{os.getpid()}"
    with transaction() as session:
        lease = claim(session, job_id, owner=owner, lease_s=settings().lease_s)
        devices = int(session.get_one(Job, job_id).spec.get("devices", 1)) if lease else 0
    if lease is None:
        return False
    log.info("job claimed", job=job_id, fence=lease.fence)
    with tempfile.NamedTemporaryFile() as output:
        arguments = [lease.job_id, lease.owner, str(lease.fence)]
        trainer = start_trainer(arguments, devices=devices, output=Path(output.name))
        try:
            why = _watch(trainer, lease, leaving=leaving)
        finally:
            stop(trainer, grace_s=KILL_GRACE_S)
        assert trainer.exitcode is not None
        _settle(lease, why=why or _end_in_words(trainer.exitcode), orderly=leaving(), output=output)
    return True


def _watch(trainer: ForkServerProcess, lease: Lease, *, leaving: Callable[[], bool]) -> str | None:
    """Wait for the trainer's end, renewing the lease. A sentence when it has to be killed."""
    next_renewal = 0.0
    grace_s = settings().stop_grace_s
    asked_at: float | None = None
    while trainer.is_alive():
        now = time.monotonic()
        if leaving():
            trainer.terminate()  # again at each look: one that has just been forked may not listen yet
            asked_at = asked_at or now
        if now >= next_renewal:
            next_renewal = now + settings().heartbeat_s
            try:
                with transaction() as session:
                    wish = renew(session, lease, lease_s=settings().lease_s)
                    usual_step_s = _usual_step_s(session, lease)
                    hung_s = _hung_for(session.get_one(Job, lease.job_id), usual_step_s)
            except LeaseLostError:
                return "The lease was lost."
            except (OperationalError, InterfaceError):
                log.warning("database away, lease not renewed", job=lease.job_id)
                continue
            if hung_s is not None:
                return f"The trainer made no progress for {hung_s:.0f} s."
            if wish is not ControlSignal.RUN and asked_at is None:
                asked_at = now
            grace_s = max(settings().stop_grace_s, GRACE_STEPS * usual_step_s)
        if asked_at is not None and now - asked_at > grace_s:
            return f"The trainer did not stop within {grace_s:.0f} s."
        time.sleep(LOOK_S)
    return None


def _settle(lease: Lease, *, why: str, orderly: bool, output: IO[bytes]) -> None:
    """The trainer is gone. If it has not written its end, do it here, with its last lines."""
    try:
        with transaction() as session:
            job = held_job(session, lease)
            events.record(
                session, job.id, code="trainer.lost", message=why, level="warn", data={"output": _last_lines(output)}
            )
            control.put_back(session, job, why=why, orderly=orderly)
    except LeaseLostError:
        log.info("job ended", job=lease.job_id, fence=lease.fence)


def _end_in_words(returncode: int) -> str:
    if returncode < 0:
        return f"The trainer was killed by {signal.Signals(-returncode).name}."
    return f"The trainer ended with exit code {returncode} before the job did."


def _last_lines(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - LAST_BYTES))
    return output.read().decode(errors="replace").replace("\x00", "�")


def _usual_step_s(session: Session, lease: Lease) -> float:
    newest = select(Step.created_at).where(Step.job_id == lease.job_id).order_by(Step.step.desc()).limit(10)
    times = [moment.timestamp() for moment in session.scalars(newest)]
    return statistics.median(a - b for a, b in pairwise(times)) if len(times) > 1 else 0.0


def _hung_for(job: Job, usual_step_s: float) -> float | None:
    """Seconds without progress, if they are too many to be a slow step."""
    if job.progress_at is None or job.state == JobState.VALIDATING:  # a large model may take long to arrive
        return None
    silent_s = (utc_now() - job.progress_at).total_seconds()
    return silent_s if silent_s > max(settings().hang_s, HANG_STEPS * usual_step_s) else None
