"""One worker of a queue for all tests of a run: it is stopped, as by Ctrl-Z, while a test does not ask for it.

A worker takes seconds to start, most of them for imports and for the attacks on its sandbox; going on takes none.
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
from backend.db.workers import WorkerSeen
from backend.workers import WorkerFacts, report
from tests.processes import running_worker, wait_for

KEPT = "kept worker"
"""The name of its connections to the database."""
OPEN_TRANSACTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND xact_start IS NOT NULL"


class KeptWorkers:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Popen[bytes]] = {}
        self._facts: dict[str, WorkerFacts] = {}
        self._ends = ExitStack()

    def log(self, queue: str) -> Path:
        return self._folder / f"{queue}.log"

    def go_on(self, queue: str, **environment: str) -> Popen[bytes]:
        """The worker of the queue, started where there is none yet. Its environment is the first test's."""
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
            report(session, self._facts[queue])  # its own next word may take a quarter of a minute
        return worker

    def stop(self) -> None:
        """Let none take a message or hold a lock from now on."""
        if not self._running:
            return
        with psycopg.connect(driver_url(os.environ["DATABASE_URL"]), autocommit=True) as connection:
            wait_for(lambda: self._stopped_outside_transactions(connection), timeout_s=30, what="workers at rest")
        with Redis.from_url(redis_url(os.environ["BROKER_URL"])) as broker:
            for client in broker.client_list():
                if client["cmd"] == "brpop":  # would take a message and keep it
                    broker.client_unblock(client["id"])

    def _stopped_outside_transactions(self, connection: psycopg.Connection) -> bool:
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
            self.go_on(queue)
        self._ends.close()


def _facts(pid: int) -> WorkerFacts | None:
    """What the worker has said of itself; None before."""
    with transaction() as session:
        seen = session.scalar(select(WorkerSeen).where(WorkerSeen.id.endswith(f":{pid}")))
        return seen and WorkerFacts(**{field.name: getattr(seen, field.name) for field in fields(WorkerFacts)})
