"""The bodies of the Celery tasks, and what a worker process does when it starts and stops."""

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
leaving = threading.Event()
SWEEPS = (
    control.sweep,
    control.nudge_waiting,
    checks.forget_old,
    checks.nudge_lost,
    background.give_up_lost,
    uploads.forget_expired,
    webhooks.nudge_due,
    idempotency.forget_old,
)
"""What is looked after at intervals, each in a transaction of its own."""
LOST = "The process that worked on it was killed; it may have run out of memory."
configure_logs()


@setup_logging.connect  # type: ignore[untyped-decorator]
def leave_logs_as_they_are(**_: object) -> None:
    """Celery sets up lines of its own form unless somebody answers this signal."""


@celery_app.task(name=TRAIN_TASK, acks_late=False)  # type: ignore[untyped-decorator]
def train_job(job_id: str) -> None:
    if not leaving.is_set():
        supervise(job_id, leaving=leaving.is_set)


@celery_app.task(name=CHECK_TASK, acks_late=True, bind=True)  # type: ignore[untyped-decorator]
def run_check(task: Task, check_id: str) -> None:
    """In the process at hand; where a model is needed, in one forked for it, which gives the memory back."""
    if task.request.delivery_info["routing_key"] != SAMPLE_QUEUE:
        checks.carry_out(check_id, handlers=HANDLERS)
    elif fork_server.run_check(check_id) != 0:
        checks.give_up(check_id, why=LOST)


@celery_app.task(name=WEBHOOK_TASK, acks_late=True)  # type: ignore[untyped-decorator]
def deliver_webhook(delivery_id: str) -> None:
    webhooks.deliver(delivery_id)


@task_failure.connect  # type: ignore[untyped-decorator]
def tell_of_lost_check(sender: Task, exception: BaseException, args: tuple[str, ...], **_: object) -> None:
    """A process that was killed at work, for its memory say, cannot write the end of its check itself."""
    if sender.name == CHECK_TASK and isinstance(exception, WorkerLostError):
        checks.give_up(args[0], why=LOST)


@worker_init.connect  # type: ignore[untyped-decorator]
def warm(sender: object, **_: object) -> None:
    """Have trainers ready to be forked. What samples waits for its first check: most workers never see one."""
    if TRAIN_QUEUE in sender.app.amqp.queues.consume_from:  # type: ignore[attr-defined]
        fork_server.warm()


@worker_ready.connect  # type: ignore[untyped-decorator]
def start_keeping_house(sender: object, **_: object) -> None:
    """Every worker says that it is there; those that train or check also sweep, from their start on."""
    queues = sorted(sender.app.amqp.queues.consume_from)  # type: ignore[attr-defined]
    threading.Thread(target=report_until_leaving, args=(queues,), name="presence", daemon=True).start()
    if {TRAIN_QUEUE, CHECK_QUEUE} & set(queues):
        threading.Thread(target=sweep_until_leaving, name="sweep", daemon=True).start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def leave(**_: object) -> None:
    """Let a trainer stop at its next step, so that the job goes on elsewhere and nothing is lost."""
    leaving.set()


def report_until_leaving(queues: list[str]) -> None:
    with Sandbox(SandboxLimits()) as sandbox:
        facts = workers.facts(queues, sandbox_level=sandbox.box.level)
    while True:
        try:
            with transaction() as session:
                workers.report(session, facts)
        except Exception:
            log.exception("the worker could not say that it is there, trying again")
        if leaving.wait(workers.REPORT_S):
            break
    with suppress(Exception), transaction() as session:
        workers.leave(session, facts)


def sweep_until_leaving() -> None:
    while True:
        for work in SWEEPS:
            try:
                with transaction() as session:
                    work(session)
            except Exception:
                log.exception("sweep failed, trying again", work=work.__name__)
        if leaving.wait(settings().sweep_s):
            return
