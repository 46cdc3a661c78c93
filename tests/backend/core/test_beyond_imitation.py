"""The sentence on what training added to a warm start."""

import pytest

from backend.core.beyond_imitation import beyond_imitation


def evaluations(base: float, warm: float, trained: float, low: float, high: float) -> list[dict[str, object]]:
    since = {"difference": {"mean": trained - warm, "low": low, "high": high}, "p_value": 0.01}
    return [
        {"phase": "baseline", "step": 0, "mean": base, "since_warm_start": None},
        {"phase": "warm", "step": 4, "mean": warm, "since_warm_start": None},
        {"phase": "interim", "step": 8, "mean": 0.5, "since_warm_start": since},
        {"phase": "trained", "step": 12, "mean": trained, "since_warm_start": since},
    ]


TO_WARM = "Imitation took the held-out score from 2 % to 21 %"
CASES = {
    f"{TO_WARM}, training from 21 % to 53 % (95 % interval +0.200 to +0.440).": (0.02, 0.21, 0.53, 0.2, 0.44),
    f"{TO_WARM}; training after it showed no difference (95 % interval -0.050 to +0.090): imitation was enough.": (
        *(0.02, 0.21, 0.23, -0.05, 0.09),
    ),
    f"{TO_WARM}; training made it worse, from 21 % to 10 % (95 % interval -0.200 to -0.020).": (
        *(0.02, 0.21, 0.1, -0.2, -0.02),
    ),
    "Imitation took the held-out score from -1.5 to 0.25, training from 0.25 to 2 (95 % interval +1.000 to +2.500).": (
        *(-1.5, 0.25, 2.0, 1.0, 2.5),
    ),
}


@pytest.mark.parametrize("sentence", CASES)
def test_the_sentence_says_what_each_did(sentence: str) -> None:
    assert beyond_imitation(evaluations(*CASES[sentence]), method="rlsd") == sentence


def test_there_is_no_sentence_without_three_measurements_or_for_imitation_alone() -> None:
    whole = evaluations(0.02, 0.21, 0.53, 0.2, 0.44)
    assert beyond_imitation(whole[:3], method="rlsd") is None
    assert beyond_imitation([whole[0], whole[3] | {"since_warm_start": None}], method="rlsd") is None
    assert (
        beyond_imitation([{"phase": "baseline", "mean": 0.1}, {"phase": "trained", "mean": 0.2}], method="rlsd") is None
    )
    assert beyond_imitation(whole, method="sft") is None


def test_there_is_no_sentence_on_training_if_the_step_that_is_kept_is_of_the_warm_start() -> None:
    whole = evaluations(0.02, 0.21, 0.21, 0.0, 0.0)
    assert beyond_imitation([*whole[:3], whole[3] | {"step": 4}], method="rlsd") is None
