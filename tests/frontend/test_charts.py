from frontend import charts
from frontend.shapes import Metrics


def steps(*rewards: float | None) -> list[Metrics]:
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
