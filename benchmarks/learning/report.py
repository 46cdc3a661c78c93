"""The report `RESULTS.md`: one table per task, each method against GRPO at its best learning rate, paired by seed."""

import statistics
from collections.abc import Sequence

import numpy as np

from backend.core.statistics import sign_flip_p, t_interval
from benchmarks.learning.baseline import best_learning_rate, by_configuration, differences
from benchmarks.learning.configurations import BASELINE
from benchmarks.learning.runs import Run, steps_to, valid_runs
from benchmarks.learning.statistics import median_or_never
from benchmarks.learning.task import LearningTask

HEADER = """# Learning: which credit assignment learns most

Written by `python -m benchmarks.learning report` from `runs.jsonl`. Every method trains the same model with the
project's engine (`worker.engine.loop.run`) on the same rows, for the same number of steps, prompts, completions and
tokens per completion, on one thread. Runs of one seed share row order, random numbers and initial adapter.

- Learning rate: GRPO is run at four; the one with its best mean final accuracy is used for all methods. So the baseline
  is selected by the same numbers it is judged by, and no other method's rate is tuned: both favour GRPO.
- `final`: held-out accuracy after the last step, mean over seeds with Student's 95 % interval.
- `difference`: from GRPO, paired by seed, with Student's 95 % interval; `p`: exact two-sided sign-flip test. With 6
  seeds p cannot fall below .031. It is not corrected for the number of rows in a table.
- `peak`: the highest held-out accuracy of any evaluation, mean over seeds. It is selected by the numbers it is judged
  by: if it is far above `final`, the method learnt and then collapsed.
- `steps`: median number of steps to the task's target accuracy, interpolated between evaluations; runs that never
  reached it count as later than all others, and their number is given after the slash.
- `leakage`: share of held-out completions after training that contain what the student cannot know or mention a
  reference; `in training`: share of all completions trained on.
- `sft` imitates the rows' worked solutions for as many steps, at the same rate, and samples nothing in training.
- `rlsd_template` and `cepo` use the weighting options of `rlsd steady`; `rlcsd` uses its authors' values, and with the
  hint `sibling` their hint; `opsd`, `grpo_opsd` and `sdpo` use a job's defaults (sampled tokens; the base model as
  `opsd`'s teacher, snapshots of the student for the others). `moving`: `opsd` with snapshots too. `published`: over the
  vocabulary, as in OPSD's paper (`forward_kl`, clipped) and SDPO's (`jsd`, 100 tokens one by one).
- Rewards are plain Python functions of the task, called in process; the sandbox is measured elsewhere.
"""


def results(runs: Sequence[Run], *, tasks: Sequence[LearningTask]) -> str:
    """Write the report; tasks without runs are left out."""
    sections = [HEADER]
    for task in tasks:
        task_runs = valid_runs(runs, task=task)
        if task_runs:
            sections.append(_section(task, task_runs))
    return "\n".join(sections)


def _section(task: LearningTask, runs: Sequence[Run]) -> str:
    best = best_learning_rate(runs, task=task.name, rates=task.learning_rates)
    lines = [
        f"## {task.name}",
        "",
        task.about,
        "",
        _budget_line(task, runs),
        "",
        _rates_table(task, runs, best=best),
    ]
    if best is None:
        lines.append("GRPO has not run at all four learning rates yet, so there is nothing to compare with.\n")
    else:
        lines.append(_methods_table(runs, best=best, target=task.target))
    return "\n".join(lines)


def _budget_line(task: LearningTask, runs: Sequence[Run]) -> str:
    budget, base = task.budget, statistics.mean(run.evaluations[0][1] for run in runs)
    return (
        f"Base {base:.3f}; {budget.steps} steps of {budget.batch_size} questions x "
        f"{budget.num_generations} completions of at most {budget.max_completion_tokens} tokens; target accuracy "
        f"{task.target:g}; base leakage {statistics.mean(run.base_leakage for run in runs):.1%}; "
        f"{statistics.median(run.seconds for run in runs):.0f} s per run (median of {len(runs)})."
    )


def _rates_table(task: LearningTask, runs: Sequence[Run], *, best: float | None) -> str:
    lines = ["| GRPO at learning rate | final | steps | n |", "|---|---|---|---|"]
    for rate in task.learning_rates:
        chosen = [run for run in runs if run.key.method == BASELINE.name and run.key.learning_rate == rate]
        if chosen:
            mark = " (best)" if rate == best else ""
            lines.append(
                f"| {rate:g}{mark} | {_final(chosen)} | {_steps(chosen, target=task.target)} | {len(chosen)} |"
            )
    return "\n".join(lines) + "\n"


def _methods_table(runs: Sequence[Run], *, best: float, target: float) -> str:
    groups = by_configuration(runs, rate=best)
    baseline = groups[BASELINE.name, BASELINE.hint]
    lines = [
        "| method | hint | final | difference | p | peak | steps | leakage | in training | n |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (method, hint), chosen in groups.items():
        cells = [method, "-" if hint == "none" else hint, _final(chosen), *_against(baseline, chosen)]
        peak = statistics.mean(run.peak for run in chosen)
        cells += [f"{peak:.3f}", _steps(chosen, target=target), *_leakage(chosen), str(len(chosen))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _final(runs: Sequence[Run]) -> str:
    return _estimate([run.final for run in runs])


def _against(baseline: Sequence[Run], runs: Sequence[Run]) -> tuple[str, str]:
    """Format difference and p-value, over the seeds that both have."""
    paired = differences(runs, baseline=baseline)
    if runs[0].key.method == BASELINE.name or not paired:
        return "-", "-"
    p_value = sign_flip_p(np.array(paired), rng=np.random.default_rng(0))
    return _estimate(paired, sign="+"), f"{p_value:.3f}"


def _steps(runs: Sequence[Run], *, target: float) -> str:
    steps = [steps_to(target, run.evaluations) for run in runs]
    median, never = median_or_never(steps), steps.count(None)
    return ("never" if median is None else f"{median:.0f}") + (f" / {never}" if never else "")


def _leakage(runs: Sequence[Run]) -> tuple[str, str]:
    after = statistics.mean(run.leakage for run in runs)
    return f"{after:.1%}", f"{statistics.mean(run.training_leakage for run in runs):.1%}"


def _estimate(values: Sequence[float], *, sign: str = "") -> str:
    """Format the mean with its interval, which a single value does not have."""
    found = t_interval(np.array(values), within=None)
    if len(values) == 1:
        return f"{found['mean']:{sign}.3f}"
    return f"{found['mean']:{sign}.3f} [{found['low']:{sign}.3f}, {found['high']:{sign}.3f}]"
