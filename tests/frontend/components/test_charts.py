from dataclasses import replace

from frontend.api.types import StepMetrics
from frontend.app_pages.job.curves import CURVES, available, component_names
from frontend.components import charts
from tests.worker.engine.tiny import WEIGHTS, Recorder, tiny_policy, tiny_settings, tiny_tasks, vowel_share, weighed
from worker.engine import loop
from worker.engine.experiment import Experiment


def steps(*rewards: float | None) -> list[StepMetrics]:
    return [
        {"step": n, "created_at": 100 + 2 * n, "values": {} if r is None else {"reward_mean": r}}
        for n, r in enumerate(rewards, start=1)
    ]


def test_the_reward_curve_is_a_running_mean_over_the_steps_that_have_one() -> None:
    table = charts.reward_table(steps(0.0, None, 1.0))
    assert [(line["step"], line["reward"], line["smooth"]) for line in table] == [(1, 0.0, 0.0), (3, 1.0, 0.5)]


def test_absent_metrics_are_left_out_of_a_curve() -> None:
    assert charts.table_of(steps(0.5), {"reward_mean": "reward", "leakage": "leakage"}) == [
        {"step": 1, "series": "reward", "value": 0.5}
    ]


def test_a_curve_with_points_only_at_some_steps_is_offered_too() -> None:
    metrics: list[StepMetrics] = [
        {"step": n, "created_at": n, "values": {"entropy": 1.0} | ({"kl_to_start": 0.1} if n == 1 else {})}
        for n in range(1, 12)
    ]
    assert available(metrics) == ["Entropy", "Distance to the base model"]
    assert available([]) == []


def test_each_component_of_the_reward_has_a_curve() -> None:
    settings, observer = tiny_settings(method="grpo", combine="normalise", max_steps=1), Recorder()
    loop.run(
        Experiment(
            settings=settings,
            policy=tiny_policy(settings),
            tasks=tiny_tasks(6),
            held_out=[],
            reward=weighed,
            component_weights=WEIGHTS,
        ),
        observer=observer,
        resume=None,
    )
    metrics: list[StepMetrics] = [{"step": 1, "created_at": 1, "values": dict(observer.steps[0].metrics)}]
    assert component_names(metrics) == ["component_early", "component_even"]
    assert component_names(steps(0.5)) == []


def test_every_curve_is_of_metrics_that_a_run_reports() -> None:
    settings, observer = tiny_settings(overlong_buffer=4, kl_beta=0.01, success_above=0.4, practice={}), Recorder()
    tasks = [replace(task, solution="a hint of so many words that copies of it are counted") for task in tiny_tasks(6)]
    loop.run(
        Experiment(settings=settings, policy=tiny_policy(settings), tasks=tasks, held_out=[], reward=vowel_share),
        observer=observer,
        resume=None,
    )
    reported = {name for report in observer.steps for name in report.metrics}
    assert {name for _, series in CURVES.values() for name in series} <= reported
