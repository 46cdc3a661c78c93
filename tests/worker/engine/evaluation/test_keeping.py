"""The best checkpoint: which questions choose, which step is kept, and what is said about it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.engine.tiny import tiny_policy
from worker.engine.evaluation.keeping import Kept, better, early_end, halves, kept_sentence, selection_of
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.types import QuestionScores

ROWS = st.lists(st.integers(0, 10_000), min_size=2, max_size=40, unique=True)


def questions(rows):
    return [QuestionScores(row=row, scores=[1.0, None]) for row in rows]


def rows_of(found):
    return [question["row"] for question in found]


@given(ROWS, st.integers(0, 2**31))
def test_each_question_is_in_one_half_and_the_order_of_the_rows_decides_nothing(rows, seed):
    choosing, measuring = halves(questions(rows), seed=seed)
    assert sorted(rows_of(choosing) + rows_of(measuring)) == sorted(rows)
    assert len(measuring) - len(choosing) in (0, 1)
    again = halves(questions(rows[::-1]), seed=seed)
    assert [set(rows_of(half)) for half in again] == [set(rows_of(choosing)), set(rows_of(measuring))]
    assert rows_of(choosing) == [row for row in rows if row in rows_of(choosing)]


@given(ROWS, st.integers(0, 99), st.integers(10_001, 10_100))
def test_another_row_moves_one_other_at_most(rows, seed, more):
    before = set(rows_of(halves(questions(rows), seed=seed)[0]))
    after = set(rows_of(halves(questions([*rows, more]), seed=seed)[0]))
    assert len((before ^ after) - {more}) <= 1


def test_another_seed_splits_otherwise():
    splits = {tuple(rows_of(halves(questions(range(20)), seed=seed)[0])) for seed in range(10)}
    assert len(splits) == 10


def test_a_selection_is_the_mean_over_the_questions_with_a_score():
    found = [
        QuestionScores(row=1, scores=[1.0, 0.0]),
        QuestionScores(row=2, scores=[None, 1.0]),
        QuestionScores(row=3, scores=[None, None]),
    ]
    assert selection_of(found) == {"mean": 0.75, "n": 2}
    assert selection_of(found[2:]) is None


def kept_after(scores):
    """Return what is kept after evaluations with these scores, at the steps 0, 10, 20, ..."""
    policy, kept = tiny_policy(random_adapters=True), None
    for turn, score in enumerate(scores):
        with torch.no_grad():
            for parameter in policy.adapter(LIVE_ADAPTER).values():
                parameter.fill_(turn)
        selection = {"mean": score, "n": 3}
        kept = better(kept, step=10 * turn, selection=selection, questions=questions([turn]), policy=policy)
    return kept, policy


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5]), min_size=1, max_size=7))
def test_the_best_step_is_kept_and_of_equals_the_earlier(scores):
    kept, policy = kept_after(scores)
    best = scores.index(max(scores))
    assert (kept.step, kept.selection["mean"], kept.waited) == (10 * best, max(scores), len(scores) - 1 - best)
    assert rows_of(kept.questions) == [best]
    assert all((value == best).all() for value in kept.adapter.values()), "a copy, not what is trained on"
    kept.restore(policy)
    assert all((value == best).all() for value in policy.adapter(LIVE_ADAPTER).values())


@pytest.mark.parametrize(
    ("step", "which"), [(40, "step 40"), (0, "the model before training, since no later one was better")]
)
def test_what_is_kept_is_said_in_one_sentence(step, which):
    kept = Kept(step=step, selection={"mean": 0.5, "n": 50}, waited=2, questions=questions([1, 2]), adapter={})
    said = f"Kept: {which}, chosen on 50 of the questions; the result is measured on the other 2."
    assert kept_sentence(kept, measured_on=2) == said
    assert early_end(kept, step=step + 20, last_step=200).startswith(
        f"The last 2 evaluations were no better than that of step {step} "
    )
