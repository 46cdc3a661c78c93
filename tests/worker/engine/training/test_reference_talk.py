"""What counts as talk of a reference that the student cannot see."""

import pytest

from worker.engine.training.metrics import SPEAKS_OF_REFERENCE


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
def test_talk_of_what_only_the_teacher_is_told_is_noticed(text):
    assert SPEAKS_OF_REFERENCE.search(text)


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
def test_what_models_write_without_having_seen_a_reference_is_not(text):
    assert not SPEAKS_OF_REFERENCE.search(text)
