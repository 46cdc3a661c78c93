"""What the figures of a pre-flight mean, in sentences that fit the case."""

import pytest

from worker.engine.preflight.findings import NO_HELP, of_hint, of_prompts
from worker.engine.preflight.report import CONTROLS
from worker.engine.rollouts.prompts import LengthLimits
from worker.engine.types import Hint


@pytest.mark.parametrize("kind", [hint for hint in Hint if hint not in CONTROLS])
def test_a_hint_that_does_not_help_is_not_answered_by_itself(kind: Hint) -> None:
    said = of_hint(kind=kind, helps="no", without=0.2, shown=0.2, low=-0.1, high=0.1, is_control=False)["message"]
    assert NO_HELP[kind] in said
    assert ("choose" in said and "worked solution" in said) == (kind is not Hint.SOLUTION)


@pytest.mark.parametrize(
    ("room", "limit", "way_out"),
    [
        (
            LengthLimits(2048, 768),
            "the 768 that the model's context leaves beside max_completion_tokens",
            "lower max_completion",
        ),
        (LengthLimits(512, 768), "the 512 that max_prompt_tokens allows", "raise max_prompt_tokens"),
    ],
)
def test_the_limit_of_prompts_is_named_with_what_sets_it(room: LengthLimits, limit: str, way_out: str) -> None:
    fits = of_prompts(too_long=[], longest=97, room=room, rows=3)["message"]
    assert fits.startswith(f"The longest prompt has 97 tokens of {limit}")
    assert ("max_prompt_tokens = 2,048" in fits) == (room.max_prompt_tokens == 2048)
    not_all = of_prompts(too_long=[4], longest=900, room=room, rows=3)["message"]
    assert limit in not_all
    assert way_out in not_all
