"""One worker per queue for all tests of a run, suspended (as by Ctrl-Z) while a test does not use it.

Starting a worker takes seconds, mostly for imports and for the attacks on its sandbox; resuming it takes no time.
"""

import os
import signal
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from subprocess import Popen

import psycopg
from redis import Redis
from sqlalchemy import select

from backend.chat.redis_keys import redis_url
from backend.db.engine import driver_url, transaction
from backend.db.workers import WorkerRecord
from backend.workers import WorkerFacts, report
from tests.processes import running_worker, wait_for

KEPT = "kept worker"
"""The application name of the workers' database connections."""
OPEN_TRANSACTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND xact_start IS NOT NULL"


class KeptWorkers:
    """Worker processes by queue, with their logs in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Popen[bytes]] = {}
        self._facts: dict[str, WorkerFacts] = {}
        self._ends = ExitStack()

    def log(self, queue: str) -> Path:
        return self._folder / f"{queue}.log"

    def resume(self, queue: str, **environment: str) -> Popen[bytes]:
        """Resume the worker of the queue, or start it, with this environment, if there is none yet."""
        if queue not in self._running:
            worker = self._running[queue] = self._ends.enter_context(
                running_worker(queue, log=self.log(queue), PGAPPNAME=KEPT, **environment)
            )
            self._facts[queue] = wait_for(lambda: _facts(worker.pid), timeout_s=60, what=f"the worker of {queue}")
            return worker
        worker = self._running[queue]
        assert worker.poll() is None, self.log(queue).read_text()
        worker.send_signal(signal.SIGCONT)
        with transaction() as session:
            report(session, self._facts[queue])  # its own next report may take fifteen seconds
        return worker

    def suspend(self) -> None:
        """Suspend all workers outside of transactions, so that they take no messages and hold no locks."""
        if not self._running:
            return
        with psycopg.connect(driver_url(os.environ["DATABASE_URL"]), autocommit=True) as connection:
            wait_for(lambda: self._try_to_suspend(connection), timeout_s=30, what="workers outside transactions")
        with Redis.from_url(redis_url(os.environ["BROKER_URL"])) as broker:
            for client in broker.client_list():
                if client["cmd"] == "brpop":  # would still receive a message and keep it
                    broker.client_unblock(client["id"])

    def _try_to_suspend(self, connection: psycopg.Connection) -> bool:
        """Stop the workers; if one is in a transaction, let them continue and return False."""
        self._signal(signal.SIGSTOP)
        if connection.execute(OPEN_TRANSACTIONS, [KEPT]).fetchone() == (0,):
            return True
        self._signal(signal.SIGCONT)
        return False

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._running.values():
            worker.send_signal(number)

    def close(self) -> None:
        for queue in self._running:
            self.resume(queue)
        self._ends.close()


def _facts(pid: int) -> WorkerFacts | None:
    """Return what the worker has reported about itself; None before its first report."""
    with transaction() as session:
        seen = session.scalar(select(WorkerRecord).where(WorkerRecord.id.endswith(f":{pid}")))
        return seen and WorkerFacts(**{field.name: getattr(seen, field.name) for field in fields(WorkerFacts)})
