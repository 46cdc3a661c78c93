"""Supervises one trainer: claims the job, renews the lease, enforces control signals, records an unrecorded end.

It never imports torch: the trainer is another process, forked per job (`fork_server`), which dies with its worker.
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

from backend.core.control import ControlSignal
from backend.core.storable import storable
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Step
from backend.jobs.lease import Lease, LeaseLostError, claim
from backend.jobs.lifecycle import JobState
from backend.settings import settings
from worker.fork_server import start_trainer, stop, wait_until_warm

log = structlog.get_logger()

POLL_S = 0.2
"""Seconds between two checks of the trainer."""
KILL_GRACE_S = 10.0
"""Seconds between SIGTERM and SIGKILL."""
GRACE_STEPS = 3
"""Median steps within which a trainer must obey a control signal, if longer than `stop_grace_s`."""
HANG_STEPS = 20
"""A trainer without progress for this many median steps counts as hung (but not before `hang_s`)."""
MAX_OUTPUT_BYTES = 8_000
"""Bytes of a crashed trainer's output to keep."""


def supervise(job_id: str, *, shutting_down: Callable[[], bool]) -> bool:
    """Claim the job and train it to its end. False if it cannot be claimed: another worker has it, or it has ended."""
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
            reason = _watch(trainer, lease, shutting_down=shutting_down)
        finally:
            stop(trainer, grace_s=KILL_GRACE_S)
        assert trainer.exitcode is not None
        _record_end(lease, reason=reason or _exit_reason(trainer.exitcode), orderly=shutting_down(), output=output)
    return True


def _watch(trainer: ForkServerProcess, lease: Lease, *, shutting_down: Callable[[], bool]) -> str | None:
    """Wait for the trainer to exit, renewing the lease. Returns the reason if it must be killed."""
    next_renewal = 0.0
    grace_s = settings().stop_grace_s
    stop_requested_at: float | None = None
    while trainer.is_alive():
        now = time.monotonic()
        if shutting_down():
            trainer.terminate()  # repeated: a trainer that was just forked may not handle the signal yet
            stop_requested_at = stop_requested_at or now
        if now >= next_renewal:
            next_renewal = now + settings().heartbeat_s
            try:
                with transaction() as session:
                    control_signal = lease.renew(session, lease_s=settings().lease_s)
                    median_step_s = _median_step_s(session, lease)
                    hung_s = _hung_s(session.get_one(Job, lease.job_id), median_step_s)
            except LeaseLostError:
                return "The lease was lost."
            except (OperationalError, InterfaceError):
                log.warning("database unreachable, lease not renewed", job=lease.job_id)
                continue
            if hung_s is not None:
                return f"The trainer made no progress for {hung_s:.0f} s."
            if control_signal is not ControlSignal.RUN and stop_requested_at is None:
                stop_requested_at = now
            grace_s = max(settings().stop_grace_s, GRACE_STEPS * median_step_s)
        if stop_requested_at is not None and now - stop_requested_at > grace_s:
            return f"The trainer did not stop within {grace_s:.0f} s."
        time.sleep(POLL_S)
    return None


def _record_end(lease: Lease, *, reason: str, orderly: bool, output: IO[bytes]) -> None:
    """Record the end of a trainer that exited without recording it, with its last output."""
    try:
        with lease.held() as held:
            held.record(code="trainer.lost", message=reason, level="warn", data={"output": _last_lines(output)})
            held.release(why=reason, orderly=orderly)
    except LeaseLostError:
        log.info("job ended", job=lease.job_id, fence=lease.fence)


def _exit_reason(returncode: int) -> str:
    if returncode < 0:
        return f"The trainer was killed by {signal.Signals(-returncode).name}."
    return f"The trainer exited with code {returncode} before the job ended."


def _last_lines(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - MAX_OUTPUT_BYTES))
    return str(storable(output.read().decode(errors="replace")))


def _median_step_s(session: Session, lease: Lease) -> float:
    newest = select(Step.created_at).where(Step.job_id == lease.job_id).order_by(Step.step.desc()).limit(10)
    times = [moment.timestamp() for moment in session.scalars(newest)]
    return statistics.median(a - b for a, b in pairwise(times)) if len(times) > 1 else 0.0


def _hung_s(job: Job, median_step_s: float) -> float | None:
    """Seconds without progress, if too long for a slow step; else None."""
    if job.progress_at is None or job.state == JobState.VALIDATING:  # a large model may take long to load
        return None
    silent_s = (utc_now() - job.progress_at).total_seconds()
    return silent_s if silent_s > max(settings().hang_s, HANG_STEPS * median_step_s) else None
