"""What the figures of a pre-flight mean, in sentences that fit the case."""

import pytest

from backend.core.hints import HINTS, Hint
from backend.core.statistics import Interval
from worker.engine.preflight.findings import UNHELPFUL_HINT_ADVICE, hint_finding, prefill_finding, prompt_finding
from worker.engine.preflight.forecast import HintEffect
from worker.engine.rollouts.prompts import LengthLimits


@pytest.mark.parametrize("kind", [hint for hint in Hint if not HINTS[hint].control])
def test_a_hint_that_does_not_help_is_not_recommended_as_the_remedy(kind: Hint) -> None:
    effect = HintEffect(
        without=0.2,
        shown=0.2,
        difference=Interval(mean=0.0, low=-0.1, high=0.1),
        p_value=1.0,
        helps="no",
        rows=8,
        not_helped=(),
    )
    message = hint_finding(kind, effect).message
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


def test_what_the_template_writes_of_an_answer_is_quoted_in_one_sentence():
    found = prefill_finding("<think>\n")
    assert (found.code, found.level) == ("template_begins_answer", "pass")
    assert r"already writes '<think>\n' at the start" in found.message
    assert found.message.count(". ") == 0
