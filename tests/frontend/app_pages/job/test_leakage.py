"""The effect of a job's hint, judged from its metrics."""

import pytest

from frontend.api.types import StepMetrics
from frontend.app_pages.job import leakage


def measured(**values: float) -> list[StepMetrics]:
    return [{"step": 1, "created_at": 1, "values": dict(values)}]


@pytest.mark.parametrize(
    ("own", "placebo", "level", "sentence"),
    [
        (0.4, 0.1, "good", "The row's own hint affects the teacher 4.0 times as much"),
        (0.4, 1.4, "good", "does not fit the completion, affects the teacher 3.5 times as much"),
        (0.3, 0.2, "warn", "only by a factor of 1.5"),
        (0.2, 0.21, "bad", "about the same effect"),
        (0.0, 0.0, "bad", "does not react"),
        (0.4, 0.0, "good", "affects the teacher but not another row's"),
    ],
)
def test_hint_and_placebo_must_differ_for_the_content_to_matter(
    own: float, placebo: float, level: str, sentence: str
) -> None:
    found = leakage.placebo(measured(hint_delta_abs_mean=own, placebo_delta_abs_mean=placebo))
    assert found.level == level
    assert sentence in found.text
    assert found.figures is not None
    assert f"{own:.3f}" in found.figures
    assert f"{own:.3f}" not in found.text


def test_what_was_not_measured_is_not_judged() -> None:
    assert [found.level for found in leakage.findings(measured(reward_mean=1.0))] == ["unknown", "unknown"]


@pytest.mark.parametrize(
    ("first", "last", "level"), [(0.0, 0.0, "good"), (0.0, 0.3, "bad"), (0.3, 0.3, "warn"), (0.3, 0.01, "good")]
)
def test_mentions_of_a_hint_are_judged_by_their_share_and_its_growth(first: float, last: float, level: str) -> None:
    shares = [first] * leakage.MENTION_STEPS + [last] * leakage.MENTION_STEPS
    metrics: list[StepMetrics] = [{"step": n, "created_at": n, "values": {"leakage": s}} for n, s in enumerate(shares)]
    assert leakage.mentions(metrics).level == level
