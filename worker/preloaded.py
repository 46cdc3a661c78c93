"""Imported by the fork server alone: all that trainers and samplers need, before there is a job.

A child holds the pipe by which multiprocessing's server knows that somebody needs it, so the kernel is asked to end
it with the worker. A signal to the worker's whole group, as service managers send it, is not for the server: trainers
would die with it instead of stopping at their next step.
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
gc.freeze()  # what collectors do not look at stays shared memory
