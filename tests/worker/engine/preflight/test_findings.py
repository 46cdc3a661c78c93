"""What the figures of a pre-flight mean, in sentences that fit the case."""

import pytest

from backend.core.hints import Hint
from worker.engine.preflight.findings import (
    UNHELPFUL_HINT_ADVICE,
    hint_finding,
    imitation_finding,
    prefill_finding,
    prompt_finding,
    signal_finding,
)
from worker.engine.preflight.report import CONTROLS
from worker.engine.rollouts.prompts import LengthLimits


@pytest.mark.parametrize("kind", [hint for hint in Hint if hint not in CONTROLS])
def test_a_hint_that_does_not_help_is_not_recommended_as_the_remedy(kind: Hint) -> None:
    message = hint_finding(kind=kind, helps="no", without=0.2, shown=0.2, low=-0.1, high=0.1, is_control=False).message
    assert UNHELPFUL_HINT_ADVICE[kind] in message
    assert ("choose" in message and "worked solution" in message) == (kind is not Hint.SOLUTION)


@pytest.mark.parametrize(
    ("limits", "limit", "way_out"),
    [
        (
            LengthLimits(2048, 768),
            "the 768 that the model's context leaves besides max_completion_tokens",
            "lower max_completion",
        ),
        (LengthLimits(512, 768), "the 512 that max_prompt_tokens allows", "raise max_prompt_tokens"),
    ],
)
def test_the_limit_of_prompts_is_named_with_what_sets_it(limits: LengthLimits, limit: str, way_out: str) -> None:
    fits = prompt_finding(too_long=[], longest=97, limits=limits, rows=3).message
    assert fits.startswith(f"The longest prompt has 97 tokens of {limit}")
    assert ("max_prompt_tokens = 2,048" in fits) == (limits.max_prompt_tokens == 2048)
    not_all = prompt_finding(too_long=[4], longest=900, limits=limits, rows=3).message
    assert limit in not_all
    assert way_out in not_all


def signal(*, mixed: float, solved: int, scored: int = 32):
    facts = {"rows": 8, "group": 4, "other_signal": False, "needs_success": False}
    return signal_finding(mixed=mixed, solved=solved, scored=scored, **facts)


@pytest.mark.parametrize(
    ("found", "warm", "alone"),
    [
        (signal(mixed=0.0, solved=0), ("nothing_solved", "warn"), ("imitation", "pass")),
        (signal(mixed=0.1, solved=3), ("few_mixed_groups", "warn"), ("imitation", "pass")),
        (signal(mixed=0.5, solved=9), ("mixed_groups", "pass"), ("mixed_groups", "pass")),
        (signal(mixed=0.0, solved=0, scored=0), ("nothing_scored", "fail"), ("nothing_scored", "fail")),
    ],
)
def test_a_missing_signal_does_not_stop_a_job_that_imitates_first(found, warm, alone):
    assert warm == ((first := imitation_finding(found, alone=False)).code, first.level)
    assert alone == ((only := imitation_finding(found, alone=True)).code, only.level)
    assert ("before its warm start" in first.message) == (first.level == "warn")


def test_what_the_template_writes_of_an_answer_is_quoted_in_one_sentence():
    found = prefill_finding("<think>\n")
    assert (found.code, found.level) == ("template_begins_answer", "pass")
    assert r"already writes '<think>\n' at the start" in found.message
    assert found.message.count(". ") == 0
