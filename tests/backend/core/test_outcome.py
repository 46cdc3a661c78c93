"""The verdict on what training changed."""

from typing import Any

import numpy as np
import pytest

from backend.core.outcome import Verdict, shown, verdict_of
from backend.core.statistics import DIFFERENCES, mean_interval, sign_flip_p


def compared(low: float, high: float, p: float) -> dict[str, Any]:
    return {"difference": {"mean": (low + high) / 2, "low": low, "high": high}, "p_value": p}


def verdict(trained: dict[str, Any], **changes: bool) -> Verdict | None:
    evaluations = {"baseline": {}, "trained": trained}
    return verdict_of(evaluations, **({"learned": True, "imitates": False} | changes))


@pytest.mark.parametrize(
    ("low", "high", "p", "found"),
    [
        (0.1, 0.3, 0.01, Verdict.BETTER),
        (-0.3, -0.1, 0.01, Verdict.WORSE),
        (-0.1, 0.3, 0.01, Verdict.UNDECIDED),
        (0.1, 0.3, 0.24, Verdict.UNDECIDED),
        (0.0, 0.0, 1.0, Verdict.UNDECIDED),
    ],
)
def test_a_difference_is_shown_if_interval_and_test_exclude_zero(
    low: float, high: float, p: float, found: Verdict
) -> None:
    assert verdict(compared(low, high, p)) == found


def test_three_answers_that_changed_of_a_hundred_show_nothing_although_the_interval_excludes_zero() -> None:
    differences = np.array([1.0] * 3 + [0.0] * 97)
    interval = mean_interval(differences, within=DIFFERENCES)
    assert interval["low"] > 0
    p = sign_flip_p(differences, rng=np.random.default_rng(0))
    assert p > 0.2
    assert shown(interval, p=p) is Verdict.UNDECIDED


def test_nothing_learned_is_the_verdict_whatever_was_measured() -> None:
    assert verdict(compared(0.1, 0.3, 0.01), learned=False) is Verdict.NOTHING_LEARNED


def test_there_is_no_verdict_before_the_last_measuring() -> None:
    assert verdict_of({"baseline": {"mean": 0.2}}, learned=True, imitates=False) is None
    assert verdict({"mean": 0.2, "difference": None}) is None


def test_imitation_was_enough_if_training_after_it_shows_no_gain() -> None:
    gain, none, loss = compared(0.1, 0.3, 0.01), compared(-0.1, 0.1, 0.8), compared(-0.2, -0.1, 0.01)
    assert verdict(gain | {"since_warm_start": gain}) is Verdict.BETTER
    assert verdict(gain | {"since_warm_start": none}) is Verdict.IMITATION_ENOUGH
    assert verdict(gain | {"since_warm_start": loss}) is Verdict.IMITATION_ENOUGH
    assert verdict(none | {"since_warm_start": none}) is Verdict.UNDECIDED
    assert verdict(gain | {"since_warm_start": none}, imitates=True) is Verdict.BETTER
