"""The judgement on a job's hint, from its metrics."""

import pytest

from frontend.api.types import Metrics
from frontend.pages.job import leakage


def measured(**values: float) -> list[Metrics]:
    return [{"step": 1, "created_at": 1, "values": dict(values)}]


@pytest.mark.parametrize(
    ("own", "placebo", "level", "says"),
    [
        (0.4, 0.1, "good", "Its own hint moves the teacher 4.0 times as much"),
        (0.4, 1.4, "good", "does not fit the text, moves the teacher 3.5 times as much"),
        (0.3, 0.2, "look", "a factor of 1.5 only"),
        (0.2, 0.21, "bad", "about the same"),
        (0.0, 0.0, "bad", "does not react"),
        (0.4, 0.0, "good", "moves the teacher and not another row's"),
    ],
)
def test_hint_and_placebo_have_to_differ_for_the_hints_words_to_count(
    own: float, placebo: float, level: str, says: str
) -> None:
    found = leakage.placebo(measured(hint_delta_abs_mean=own, placebo_delta_abs_mean=placebo))
    assert found.level == level
    assert says in found.text
    assert found.figures is not None
    assert f"{own:.3f}" in found.figures
    assert f"{own:.3f}" not in found.text


def test_what_was_not_measured_is_not_judged() -> None:
    assert [found.level for found in leakage.findings(measured(reward_mean=1.0))] == ["unknown", "unknown"]


@pytest.mark.parametrize(
    ("first", "last", "level"), [(0.0, 0.0, "good"), (0.0, 0.3, "bad"), (0.3, 0.3, "look"), (0.3, 0.01, "good")]
)
def test_talk_of_a_hint_counts_by_how_much_there_is_and_whether_it_grew(first: float, last: float, level: str) -> None:
    shares = [first] * leakage.SPEAKS + [last] * leakage.SPEAKS
    metrics: list[Metrics] = [{"step": n, "created_at": n, "values": {"leakage": s}} for n, s in enumerate(shares)]
    assert leakage.talk(metrics).level == level
