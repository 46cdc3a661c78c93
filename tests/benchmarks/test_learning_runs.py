"""What the learning benchmark remembers, what it still has to do, and what it makes of it."""

from dataclasses import replace

import pytest

from backend.core.methods import method_named
from benchmarks.learning.baseline import best_learning_rate
from benchmarks.learning.configurations import CONFIGURATIONS, settings_of
from benchmarks.learning.figures import task_figures
from benchmarks.learning.report import results
from benchmarks.learning.runs import (
    RUNS,
    RecordingObserver,
    Run,
    RunKey,
    append_run,
    missing,
    read_runs,
    same_start,
    steps_to,
    valid_runs,
)
from benchmarks.learning.tasks import TASKS, task_named
from worker.engine.types import Completion
from worker.training.prepare import engine_settings

RATES = (5e-4, 1e-3, 2e-3, 4e-3)


def finished(*, method="grpo", hint="none", rate=1e-3, seed=0, final=0.6):
    return Run(
        key=RunKey("starter", method, hint, rate, seed),
        steps=60,
        sequences_per_step=64,
        evaluations=[(0, 0.2), (60, final)],
        leakage=0.25,
        base_leakage=0.0,
        training_leakage=0.1,
        rewards=[0.2, 0.3],
        seconds=1.5,
        samples={"after": ["Answer: ä\n"]},
        values=dict(next(c for c in CONFIGURATIONS if (c.name, c.hint) == (method, hint)).values),
    )


def test_runs_come_back_from_their_file_as_they_went(tmp_path):
    runs = [finished(seed=seed) for seed in range(3)]
    for run in runs:
        append_run(tmp_path / "runs.jsonl", run)
    assert read_runs(tmp_path / "runs.jsonl") == runs


def test_a_line_that_was_cut_off_is_run_again_and_spoils_nothing(tmp_path):
    path = tmp_path / "runs.jsonl"
    first, second = finished(seed=0), finished(seed=1)
    append_run(path, first)
    with path.open("a") as file:
        file.write(second.as_line()[:40])
    assert read_runs(path) == [first]
    append_run(path, second)
    assert read_runs(path) == [first, second]


def test_only_what_is_missing_is_run(tmp_path):
    assert read_runs(tmp_path / "none.jsonl") == []
    wanted = [finished(seed=seed).key for seed in range(3)]
    assert missing(wanted, done=[finished(seed=1)]) == [wanted[0], wanted[2]]
    other_rate = replace(wanted[1], learning_rate=2e-3)
    assert missing([other_rate], done=[finished(seed=1)]) == [other_rate]


def test_runs_of_another_budget_or_task_are_left_out():
    task = task_named("starter")
    run = finished()
    other_task = replace(run, key=replace(run.key, task="unreachable"))
    assert valid_runs([run, replace(run, steps=20), replace(run, sequences_per_step=32), other_task], task=task) == [
        run
    ]


def test_runs_with_settings_that_the_configuration_no_longer_has_are_left_out(tmp_path):
    run = finished(method="rlsd steady", hint="solution")
    append_run(tmp_path / "runs.jsonl", run)
    stored = read_runs(tmp_path / "runs.jsonl")
    assert valid_runs(stored, task=task_named("starter")) == stored
    assert valid_runs([replace(run, values={**run.values, "lambda": 0.5})], task=task_named("starter")) == []
    assert valid_runs([replace(run, key=replace(run.key, method="forgotten"))], task=task_named("starter")) == []


def test_runs_of_one_seed_begin_with_one_model():
    runs = read_runs(RUNS)
    assert runs
    assert [run.key for run in runs if not same_start(run, runs)] == []
    first = finished(seed=0)
    other = replace(first, evaluations=[(0, 0.3), (60, 0.6)])
    assert same_start(first, [finished(seed=0), replace(other, key=replace(other.key, seed=1))])
    assert not same_start(first, [other])


def test_steps_to_an_accuracy_are_read_between_two_evaluations():
    evaluations = [(0, 0.2), (20, 0.4), (40, 0.6), (60, 0.5)]
    assert steps_to(0.5, evaluations) == pytest.approx(30)
    assert steps_to(0.1, evaluations) == 0
    assert steps_to(0.7, evaluations) is None


def test_the_figures_are_paired_by_seed():
    grpo = [finished(rate=rate, seed=seed, final=0.4 + 0.1 * seed) for rate in RATES for seed in range(3)]
    steady = [
        finished(method="rlsd steady", hint="solution", rate=RATES[0], seed=seed, final=0.45 + 0.1 * seed)
        for seed in (1, 2, 7)
    ]
    of_grpo, difference = task_figures(task_named("starter"), [*grpo, *steady])
    assert (of_grpo.name, of_grpo.value, of_grpo.n) == ("learning_starter_grpo", 0.5, 3)
    assert (difference.name, difference.n) == ("learning_starter_rlsd_steady_solution_minus_grpo", 2)
    assert difference.value == pytest.approx(0.05)
    assert task_figures(task_named("starter"), steady) == []


def test_the_best_rate_is_chosen_on_the_seeds_that_all_rates_have():
    runs = [finished(rate=rate, seed=0, final=0.5 + rate) for rate in RATES]
    assert best_learning_rate(runs, task="starter", rates=RATES) == 4e-3
    lucky = finished(rate=5e-4, seed=1, final=1.0)
    assert best_learning_rate([*runs, lucky], task="starter", rates=RATES) == 4e-3
    assert best_learning_rate(runs[1:], task="starter", rates=RATES) is None


def test_the_smaller_rate_wins_a_tie():
    runs = [finished(rate=rate, final=0.6) for rate in RATES]
    assert best_learning_rate(runs, task="starter", rates=RATES) == 5e-4


def test_the_report_pairs_each_method_with_grpo_at_its_best_rate():
    runs = [finished(rate=rate, seed=seed, final=0.5 + rate) for rate in RATES for seed in range(2)]
    runs += [finished(method="opsd", hint="solution", rate=4e-3, seed=seed, final=0.704) for seed in range(2)]
    runs += [finished(method="cepo", hint="answer", rate=1e-3, seed=0, final=0.9)]  # at a rate that is not the best
    text = results(runs, tasks=[task_named("starter")])
    (line,) = (line for line in text.splitlines() if line.startswith("| opsd | solution |"))
    assert "| +0.200 [+0.200, +0.200] | 0.500 |" in line
    assert "| 25.0% | 10.0% | 2 |" in line
    assert "0.004 (best)" in text
    assert "cepo | answer" not in text


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda configuration: configuration.key)
def test_every_configuration_is_one_that_the_engine_takes(configuration):
    spec = settings_of(configuration, task=task_named("starter"), learning_rate=1e-3)
    settings = engine_settings(spec, seed=3)
    method = method_named(settings.method)
    assert method.hint in (None, settings.hint)
    assert (settings.max_steps, settings.learning_rate, settings.seed) == (task_named("starter").budget.steps, 1e-3, 3)


def test_configurations_have_names_of_their_own():
    assert len({configuration.key for configuration in CONFIGURATIONS}) == len(CONFIGURATIONS)


@pytest.mark.parametrize("name", TASKS)
def test_the_observer_counts_leaks_and_grades_by_the_task(name):
    task = task_named(name)
    held_out = task.held_out[0]
    recorder = RecordingObserver(task)
    good, bad = recorder.reward([Completion(held_out, str(held_out.solution)), Completion(held_out, "Answer: none")])
    assert (good.score, bad.score) == (1.0, 0.0)
    assert recorder.training_leakage == 0
    recorder.reward(
        [
            Completion(task.train[0], "By Reference 12345, as the reference says."),
            Completion(task.train[0], "I do not know."),
        ]
    )
    assert recorder.training_leakage == 0.5
