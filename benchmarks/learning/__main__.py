"""The command line: `python -m benchmarks.learning`, `... report`, `... models`."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.learning.baseline import best_learning_rate
from benchmarks.learning.configurations import BASELINE, CONFIGURATIONS, Configuration
from benchmarks.learning.models import ensure_model
from benchmarks.learning.pool import run_missing
from benchmarks.learning.report import results
from benchmarks.learning.runs import RUNS, RunKey, read_runs, valid_runs
from benchmarks.learning.task import LearningTask
from benchmarks.learning.tasks import COMPARISON, TASKS, task_named

RESULTS = RUNS.with_name("RESULTS.md")
SEEDS = tuple(range(6))

log = partial(print, flush=True)


def main() -> None:
    """Carry out missing runs, or write the report."""
    arguments = _arguments()
    tasks = [task_named(name) for name in arguments.tasks or (TASKS if arguments.action == "report" else COMPARISON)]
    if arguments.action == "report":
        text = results(read_runs(arguments.runs), tasks=tasks)
        RESULTS.write_text(text, encoding="utf-8")
        log(text)
        return
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes started below
    for task in tasks:
        ensure_model(task, report=log)
    if arguments.action == "models":
        return
    failed = 0
    for task in tasks:
        for keys in _stages(task, arguments):
            failed += run_missing(keys, task=task, path=arguments.runs, jobs=arguments.jobs, report=log)
    sys.exit(1 if failed else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("action", nargs="?", choices=("run", "report", "models"), default="run")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS))
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[configuration.key for configuration in CONFIGURATIONS],
        metavar="METHOD/HINT",
        help=f"run only these: {', '.join(configuration.key for configuration in CONFIGURATIONS)}",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument(
        "--rate",
        type=float,
        help="run at this learning rate instead of GRPO's best of four; such runs are not comparable with the others",
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel runs, one thread each")
    parser.add_argument("--runs", type=Path, default=RUNS, help="file with the finished runs")
    return parser.parse_args()


def _stages(task: LearningTask, arguments: argparse.Namespace) -> Iterator[list[RunKey]]:
    """Yield GRPO at its learning rates first, then the others at its best rate, ordered by seed."""
    names = arguments.only or task.only
    chosen = [c for c in CONFIGURATIONS if (c.key in names if names else not c.extra)]
    if BASELINE in chosen:
        rates = [arguments.rate] if arguments.rate else task.learning_rates
        yield _keys(task, [BASELINE], rates=rates, seeds=arguments.seeds)
    others = [configuration for configuration in chosen if configuration is not BASELINE]
    if not others:
        return
    rate = arguments.rate
    if rate is None:
        rate = best_learning_rate(
            valid_runs(read_runs(arguments.runs), task=task), task=task.name, rates=task.learning_rates
        )
    if rate is None:
        sys.exit(f"GRPO's best learning rate for {task.name} is unknown: run grpo first, or pass --rate.")
    yield _keys(task, others, rates=[rate], seeds=arguments.seeds)


def _keys(
    task: LearningTask, configurations: Sequence[Configuration], *, rates: Sequence[float], seeds: Sequence[int]
) -> list[RunKey]:
    return [
        RunKey(task.name, configuration.name, configuration.hint, rate, seed)
        for seed in seeds
        for configuration in configurations
        for rate in rates
    ]


if __name__ == "__main__":
    main()
