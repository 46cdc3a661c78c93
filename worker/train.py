"""The trainer process of one queued job: reads it from the database, runs the engine on it, and records its end.

Forked by the supervisor with the arguments JOB OWNER FENCE. The end is written under the lease, in one transaction
with the adapter; an end that the trainer cannot write is written by the supervisor. A job on several devices has one
trainer per device (`launch.py`): all read the job, only the leader reports and writes its end, and any of them may
record the fault that ends it (the first one counts).
"""

import json
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from torch.distributed import DistError

from backend.jobs.lease import Lease, LeaseLostError
from backend.stack.logs import configure_logs
from worker.engine.distributed import ProcessLost
from worker.runs.database_sink import DatabaseSink
from worker.runs.run_job import run_job

log = structlog.get_logger()


@dataclass(slots=True)
class StopSignal:
    """Set by SIGTERM: the worker is shutting down, so stop at the next step and leave the job to another worker."""

    received: bool = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "received", True))


def main(arguments: list[str]) -> int:
    configure_logs()
    job_id, owner, fence = arguments
    lease = Lease(job_id=job_id, owner=owner, fence=int(fence))
    stop = StopSignal()
    stop.install()
    sink = DatabaseSink(lease, stopping=lambda: stop.received)
    try:
        run_job(sink.prepared(), sink)
    except LeaseLostError:
        log.warning("lease lost, stopping", job=job_id, fence=lease.fence)
        return 1
    except (ProcessLost, DistError):
        log.warning("another process of the job has exited, stopping", job=job_id, fence=lease.fence)
        return 1
    except (OperationalError, InterfaceError):
        traceback.print_exc()  # the database is unreachable: not the job's fault, it goes back to the queue
        return 1
    except Exception as error:  # noqa: BLE001 - the edge of the process: every fault becomes a classified end
        traceback.print_exc()
        _fail(sink, error)
        return 1
    return 0


def _fail(sink: DatabaseSink, error: Exception) -> None:
    """Record the error as the job's end, unless the job has ended or the lease was lost."""
    with suppress(LeaseLostError):
        log.error("job failed", job=sink.lease.job_id, fault=json.dumps(sink.fail(error)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
