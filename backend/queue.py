"""The Celery application: queues, task names, and sending after the commit.

A message is only a nudge: it carries an id, may be lost or delivered twice, and its task reads the state from the
database. `train`: early ack, one job at a time, in a thread that only supervises. `check`: late ack, prefork, tasks of
seconds. `sample`: checks that need a model, next to the GPU, minutes long, each in a process that a thread waits for.
"""

from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy import event
from sqlalchemy.orm import Session

from backend.settings import settings

TRAIN_QUEUE = "train"
CHECK_QUEUE = "check"
SAMPLE_QUEUE = "sample"
TRAIN_TASK = "worker.tasks.train_job"
CHECK_TASK = "worker.tasks.run_check"
WEBHOOK_TASK = "worker.tasks.deliver_webhook"

log = structlog.get_logger()

celery_app = Celery("rlsd")
celery_app.conf.update(
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_routes={
        TRAIN_TASK: {"queue": TRAIN_QUEUE},
        CHECK_TASK: {"queue": CHECK_QUEUE},
        WEBHOOK_TASK: {"queue": CHECK_QUEUE},
    },
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3600},
    task_publish_retry_policy={"max_retries": 2},
)


@celery_app.on_configure.connect  # type: ignore[untyped-decorator]
def _use_broker(sender: Celery, **_: Any) -> None:
    sender.conf.broker_url = settings().required_broker_url


def send(task: str, object_id: str, *, queue: str | None = None) -> None:
    """Send a message at once, to the task's own queue unless another is named.

    If the task depends on the current transaction, use `send_after_commit`.
    """
    celery_app.send_task(task, args=[object_id], queue=queue)


def queue_length(queue: str) -> int:
    """Return the number of messages in the queue that no worker has taken."""
    with celery_app.connection_for_read() as connection:
        return int(connection.default_channel.queue_declare(queue, passive=False).message_count)


def send_after_commit(session: Session, task: str, object_id: str, *, queue: str | None = None) -> None:
    """Send a message once the session's transaction is committed, so that the worker finds the object.

    If the broker is unavailable, a job is stored nevertheless and sent by the next sweep.
    """

    def _send(_: Any) -> None:
        try:
            send(task, object_id, queue=queue)
        except OperationalError as error:
            if task != TRAIN_TASK:
                raise
            log.warning(
                "the broker does not respond; the next sweep will send the job", job=object_id, error=str(error)
            )

    event.listen(session, "after_commit", _send, once=True)
