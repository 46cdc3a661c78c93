"""Means and the paired test."""

import numpy as np
import pytest

from worker.engine.evaluation.evaluate import compare, question_means
from worker.engine.types import QuestionScores


def questions(rows):
    return [QuestionScores(row=index, scores=scores) for index, scores in enumerate(rows)]


def test_the_mean_of_a_question_leaves_out_what_has_no_score():
    means = question_means(questions([[1.0, 0.0, None], [None, None], [0.5]]))
    np.testing.assert_array_equal(means, [0.5, np.nan, 0.5])


def test_a_real_difference_is_found_and_none_is_not():
    rng = np.random.default_rng(1)
    before = rng.random((40, 4)) < 0.3
    better = before | (rng.random((40, 4)) < 0.3)
    again = rng.random((40, 4)) < 0.3
    earlier = questions(before.astype(float).tolist())
    found = compare(earlier, questions(better.astype(float).tolist()), seed=0)
    assert found.p_value < 0.001
    assert found.difference["low"] > 0
    assert found.difference["mean"] == pytest.approx(better.mean() - before.mean())
    unchanged = compare(earlier, questions(again.astype(float).tolist()), seed=0)
    assert unchanged.p_value > 0.1
    assert unchanged.difference["low"] < 0 < unchanged.difference["high"]


def test_with_four_questions_the_test_is_exact():
    found = compare(questions([[0.0]] * 4), questions([[1.0]] * 4), seed=0)
    assert found.p_value == pytest.approx(2 / 16)


def test_identical_evaluations_do_not_differ():
    same = questions([[0.0, 1.0], [1.0, 1.0], [None, None]])
    found = compare(same, same, seed=0)
    assert found.p_value == 1.0
    assert found.difference["low"] == -found.difference["high"] < found.difference["mean"] == 0.0, "of two questions"


def test_other_questions_cannot_be_paired():
    with pytest.raises(ValueError, match="not of the same questions"):
        compare(questions([[1.0]]), questions([[1.0], [0.0]]), seed=0)
