"""Detection of text that mentions a reference which the student cannot see."""

import pytest

from worker.engine.training.leakage import MENTIONS_REFERENCE


@pytest.mark.parametrize(
    "text",
    [
        "According to the hint, the clerk approves it.",
        "The hint says 5.",
        "Hint: 5",
        "I used the answer key.",
        "The answer-key has 12.",
        "This agrees with the reference solution.",
        "As the reference states, x = 3.",
        "So it is 42, which matches the reference.",
        "Going by the given answer, 7.",
        "THE PROVIDED SOLUTION adds first.",
        "Reference:\n42",
    ],
)
def test_text_that_mentions_a_hidden_reference_is_detected(text):
    assert MENTIONS_REFERENCE.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "the correct answer is 5",
        "So the correct solution is x = 2.",
        "The expected answer would be a number.",
        "The reference angle is 30 degrees.",
        "In the reference frame of the train it rests.",
        "For reference, a mile is 1.6 km.",
        "Cross-reference the two tables with reference to the first.",
        "The clerk approves the gasket. Answer: the clerk",
        "None of the given answers fits, so it is hintless.",
        "The key idea is to answer in steps.",
    ],
)
def test_text_that_is_natural_without_a_reference_is_not_detected(text):
    assert not MENTIONS_REFERENCE.search(text)
