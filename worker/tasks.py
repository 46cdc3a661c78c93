"""Celery tasks, and the signal handlers for start and shutdown of a worker process."""

import threading
from contextlib import suppress

import structlog
from billiard.exceptions import WorkerLostError
from celery import Task
from celery.signals import setup_logging, task_failure, worker_init, worker_ready, worker_shutting_down

from backend import checks, webhooks, workers
from backend.datasets.reading import background, uploads
from backend.db import idempotency
from backend.db.engine import transaction
from backend.jobs import control
from backend.queue import (
    CHECK_QUEUE,
    CHECK_TASK,
    SAMPLE_QUEUE,
    TRAIN_QUEUE,
    TRAIN_TASK,
    WEBHOOK_TASK,
    celery_app,
)
from backend.settings import settings
from backend.stack.logs import configure_logs
from worker import fork_server
from worker.checks.registry import HANDLERS
from worker.sandbox.policy import SandboxLimits
from worker.sandbox.pool import Sandbox
from worker.supervisor import supervise

log = structlog.get_logger()
shutting_down = threading.Event()
SWEEPS = (
    control.sweep,
    control.resend_queued,
    checks.forget_old,
    checks.nudge_lost,
    background.give_up_lost,
    uploads.forget_expired,
    webhooks.nudge_due,
    idempotency.forget_old,
)
"""Periodic maintenance, each in its own transaction."""
PROCESS_KILLED = "The process running this check was killed, possibly because it ran out of memory."
configure_logs()


@setup_logging.connect  # type: ignore[untyped-decorator]
def keep_log_configuration(**_: object) -> None:
    """Keep the log format: Celery installs its own unless this signal has a handler."""


@celery_app.task(name=TRAIN_TASK, acks_late=False)  # type: ignore[untyped-decorator]
def train_job(job_id: str) -> None:
    if not shutting_down.is_set():
        supervise(job_id, shutting_down=shutting_down.is_set)


@celery_app.task(name=CHECK_TASK, acks_late=True, bind=True)  # type: ignore[untyped-decorator]
def run_check(task: Task, check_id: str) -> None:
    """Run a check in this process, or in a forked one if it needs a model, so that the memory is freed."""
    if task.request.delivery_info["routing_key"] != SAMPLE_QUEUE:
        checks.carry_out(check_id, handlers=HANDLERS)
    elif fork_server.run_check(check_id) != 0:
        checks.give_up(check_id, why=PROCESS_KILLED)


@celery_app.task(name=WEBHOOK_TASK, acks_late=True)  # type: ignore[untyped-decorator]
def deliver_webhook(delivery_id: str) -> None:
    webhooks.deliver(delivery_id)


@task_failure.connect  # type: ignore[untyped-decorator]
def report_lost_check(sender: Task, exception: BaseException, args: tuple[str, ...], **_: object) -> None:
    """Record the end of a check whose process was killed, for example for its memory use."""
    if sender.name == CHECK_TASK and isinstance(exception, WorkerLostError):
        checks.give_up(args[0], why=PROCESS_KILLED)


@worker_init.connect  # type: ignore[untyped-decorator]
def warm(sender: object, **_: object) -> None:
    """Start the fork server on workers that train. On others it starts with the first check that needs a model."""
    if TRAIN_QUEUE in sender.app.amqp.queues.consume_from:  # type: ignore[attr-defined]
        fork_server.warm()


@worker_ready.connect  # type: ignore[untyped-decorator]
def start_background_threads(sender: object, **_: object) -> None:
    """Start the presence heartbeat, and on workers that train or check also the sweeps."""
    queues = sorted(sender.app.amqp.queues.consume_from)  # type: ignore[attr-defined]
    threading.Thread(target=report_presence, args=(queues,), name="presence", daemon=True).start()
    if {TRAIN_QUEUE, CHECK_QUEUE} & set(queues):
        threading.Thread(target=run_sweeps, name="sweep", daemon=True).start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def request_shutdown(**_: object) -> None:
    """Let a trainer stop at its next step, so that another worker resumes the job without loss."""
    shutting_down.set()


def report_presence(queues: list[str]) -> None:
    with Sandbox(SandboxLimits()) as sandbox:
        facts = workers.facts(queues, sandbox_level=sandbox.confinement.level)
    while True:
        try:
            with transaction() as session:
                workers.report(session, facts)
        except Exception:
            log.exception("worker heartbeat failed, trying again")
        if shutting_down.wait(workers.REPORT_S):
            break
    with suppress(Exception), transaction() as session:
        workers.leave(session, facts)


def run_sweeps() -> None:
    while True:
        for work in SWEEPS:
            try:
                with transaction() as session:
                    work(session)
            except Exception:
                log.exception("sweep failed, trying again", work=work.__name__)
        if shutting_down.wait(settings().sweep_s):
            return
