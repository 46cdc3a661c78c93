"""Parallel execution of missing runs; each is stored as soon as it is finished."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from benchmarks.learning.configurations import CONFIGURATIONS
from benchmarks.learning.runs import Run, RunKey, append_run, missing, read_runs, same_start, train_once, valid_runs
from benchmarks.learning.task import LearningTask
from benchmarks.learning.tasks import task_named


def run_missing(
    keys: Sequence[RunKey], *, task: LearningTask, path: Path, jobs: int, report: Callable[[str], None]
) -> int:
    """Carry out the runs that are missing from the file. Returns how many failed; the next call tries them again."""
    kept = valid_runs(read_runs(path), task=task)
    todo = missing(keys, done=kept)
    report(f"{len(todo)} of {len(keys)} runs to do")
    failed = 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=jobs, mp_context=context) as pool:
        futures = {pool.submit(run_key, key): key for key in todo}
        for count, future in enumerate(as_completed(futures), start=1):
            key = futures[future]
            name = f"[{count}/{len(todo)}] {key.task} {key.method} {key.hint} {key.learning_rate:g} seed {key.seed}"
            if (error := future.exception()) is not None:
                failed += 1
                report(f"{name}: {type(error).__name__}: {error}")
                continue
            run = future.result()
            if not same_start(run, kept):
                failed += 1
                report(
                    f"{name}: not stored, because the task's stored runs started from a different model: remove them "
                    f"from {path}"
                )
                continue
            append_run(path, run)
            report(f"{name}: {run.evaluations[0][1]:.3f} -> {run.final:.3f}, {run.seconds:.0f} s")
    return failed


def run_key(key: RunKey) -> Run:
    """Carry out the run with this key, in the current process."""
    (configuration,) = (c for c in CONFIGURATIONS if (c.name, c.hint) == (key.method, key.hint))
    return train_once(task_named(key.task), configuration, learning_rate=key.learning_rate, seed=key.seed)
