"""The bodies of the Celery tasks, and what a worker process does when it starts and stops."""

import threading

import structlog
from billiard.exceptions import WorkerLostError
from celery import Task
from celery.signals import task_failure, worker_ready, worker_shutting_down

from backend import checks
from backend.datasets import reading
from backend.db.engine import transaction
from backend.jobs import control
from backend.logs import configure_logs
from backend.queue import CHECK_TASK, TRAIN_QUEUE, TRAIN_TASK, celery_app
from backend.settings import settings
from worker.checks import HANDLERS
from worker.supervisor import supervise

log = structlog.get_logger()
leaving = threading.Event()
configure_logs()


@celery_app.task(name=TRAIN_TASK, acks_late=False)  # type: ignore[untyped-decorator]
def train_job(job_id: str) -> None:
    if not leaving.is_set():
        supervise(job_id, leaving=leaving.is_set)


@celery_app.task(name=CHECK_TASK, acks_late=True)  # type: ignore[untyped-decorator]
def run_check(check_id: str) -> None:
    checks.carry_out(check_id, handlers=HANDLERS)


@task_failure.connect  # type: ignore[untyped-decorator]
def tell_of_lost_check(sender: Task, exception: BaseException, args: tuple[str, ...], **_: object) -> None:
    """A process that was killed at work, for its memory say, cannot write the end of its check itself."""
    if sender.name == CHECK_TASK and isinstance(exception, WorkerLostError):
        checks.give_up(args[0], why="The process that worked on it was killed; it may have run out of memory.")


@worker_ready.connect  # type: ignore[untyped-decorator]
def start_sweeping(sender: object, **_: object) -> None:
    """Workers of the train queue look for lost jobs, from their start on."""
    if TRAIN_QUEUE in sender.app.amqp.queues.consume_from:  # type: ignore[attr-defined]
        threading.Thread(target=sweep_until_leaving, name="sweep", daemon=True).start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def leave(**_: object) -> None:
    """Let a trainer stop at its next step, so that the job goes on elsewhere and nothing is lost."""
    leaving.set()


def sweep_until_leaving() -> None:
    while True:
        for work in (control.sweep, control.nudge_waiting, checks.forget_old, reading.give_up_lost):
            try:
                with transaction() as session:
                    work(session)
            except Exception:
                log.exception("sweep failed, trying again", work=work.__name__)
        if leaving.wait(settings().sweep_s):
            return
