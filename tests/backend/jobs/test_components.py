"""Weights of the components of a verifier, and what has none."""

import pytest

from backend.core.settings.spec import RlsdSettings
from backend.errors import AppError
from backend.jobs.components import component_weights
from backend.verifiers.specs import parse_spec

PARTS = {name: {"type": "number"} for name in "abc"}
APART, SUMMED = RlsdSettings(combine="normalise"), RlsdSettings()


def multi(formula: str) -> object:
    return parse_spec({"type": "multi", "graders": PARTS, "calculate_output": formula})


def test_the_weights_are_those_of_the_formula_without_graders_that_do_not_count() -> None:
    assert component_weights(APART, multi("0.8 * a + b / 5 + 0 * c")) == pytest.approx({"a": 0.8, "b": 0.2})
    assert component_weights(SUMMED, multi("0.8 * a + b / 5")) == {}


@pytest.mark.parametrize("formula", ["min(a, b)", "a * b", "1", "0 * a", "a - a"])
def test_a_formula_that_is_no_weighted_sum_is_refused(formula: str) -> None:
    assert component_weights(SUMMED, multi(formula)) == {}
    with pytest.raises(AppError, match=r"weighted sum such as '0.8 \* a \+ 0.2 \* b', not ") as refusal:
        component_weights(APART, multi(formula))
    assert (refusal.value.status, refusal.value.param) == (400, "method.reinforcement.x_rlsd.combine")


def test_a_verifier_without_components_is_refused() -> None:
    with pytest.raises(AppError, match="a verifier of the type number has none") as refusal:
        component_weights(APART, parse_spec({"type": "number"}))
    assert refusal.value.param == "method.reinforcement.x_rlsd.combine"
