"""Imported by the fork server only: everything that trainers and checks with a model need, before there is a job.

A child holds the pipe that keeps multiprocessing's server alive, so the kernel is asked to kill the server with the
worker (PR_SET_PDEATHSIG). The server ignores SIGTERM, which service managers send to the worker's whole process group:
trainers would die with the server instead of stopping at their next step.
"""

import gc
import os
import signal

from backend.stack.processes import die_with_parent
from worker import train
from worker.checks import registry
from worker.exports import job
from worker.training import launch

__all__ = ["job", "launch", "registry", "train"]

die_with_parent(os.getppid(), signal_number=signal.SIGKILL)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
gc.collect()
gc.freeze()  # memory that the collector does not touch stays shared with the children
