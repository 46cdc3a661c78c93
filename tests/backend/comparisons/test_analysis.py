"""Comparisons of simulated runs with known success rates."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from backend.comparisons.analysis import Analysis, EvaluationScores, Interval, Run, analyse

QUESTIONS = 60


def run(arm: str, seed: int, final: float, *, steps: tuple[int, ...] = (0, 50, 100), step_s: float = 1.0) -> Run:
    """Simulate a run whose success rate grows from 0.2 to `final`, with four samples per question."""
    rng = np.random.default_rng([seed, *map(ord, arm)])

    def evaluation(step: int) -> EvaluationScores:
        share = 0.2 + (final - 0.2) * step / max(*steps, 1)
        return EvaluationScores(
            step, {row: [float(rng.random() < share) for _ in range(4)] for row in range(QUESTIONS)}
        )

    taken = range(1, max(steps) + 1)
    tokens, seconds = ({step: step * each for step in taken} for each in (640.0, step_s))
    return Run(arm, seed, [evaluation(step) for step in steps], tokens, seconds)


def analysed(*runs: Run, **changes: object) -> Analysis:
    arms = list(dict.fromkeys(run.arm for run in runs))
    settings = {"budget": "steps", "limit": None, "success_above": 0.5} | changes
    return analyse(arms, runs, **settings)  # type: ignore[arg-type]


def three_seeds(arm: str, final: float, **changes: object) -> list[Run]:
    return [run(arm, seed, final, **changes) for seed in range(3)]  # type: ignore[arg-type]


def test_a_real_difference_is_reported_with_its_numbers() -> None:
    found = analysed(*three_seeds("grpo", 0.4), *three_seeds("rlsd", 0.8))
    better = found.arms[1]
    assert better.difference is not None
    assert better.difference.mean == pytest.approx(0.4, abs=0.08)
    assert better.p_adjusted is not None
    assert better.p_adjusted < 0.01
    assert "rlsd is 0.4" in found.verdict
    assert re.search(
        r"^rlsd is 0\.4\d\d better than grpo \(n = 60, interval \+0\.3\d\d to \+0\.[45]\d\d, p = ", found.verdict
    )


def test_equal_arms_are_not_significantly_different() -> None:
    found = analysed(*three_seeds("grpo", 0.5), *three_seeds("rlsd", 0.5))
    assert "no significant difference from grpo (n = 60, interval" in found.verdict


def test_a_worse_arm_is_called_worse() -> None:
    assert "worse than grpo" in analysed(*three_seeds("grpo", 0.8), *three_seeds("rlsd", 0.4)).verdict


def few_that_differ(arm: str, *, gained: int, questions: int = 100) -> Run:
    """Simulate a run that answers nothing before training, and `gained` questions after it."""
    scores = [{row: [float(row < right)] for row in range(questions)} for right in (0, gained)]
    of_step = [EvaluationScores(step, found) for step, found in zip((0, 50), scores, strict=True)]
    return Run(arm, 0, of_step, {}, {50: 100.0})


def test_an_interval_that_excludes_zero_although_few_answers_differ_shows_nothing() -> None:
    """A test by sign flips finds three questions of a hundred possible by chance; the interval alone does not."""
    found = analysed(few_that_differ("grpo", gained=0), few_that_differ("rlsd", gained=3))
    other = found.arms[1]
    assert other.difference is not None
    assert other.difference.low is not None
    assert other.difference.low > 0
    assert other.outcome == "undecided"
    assert "no significant difference from grpo" in found.verdict
    assert "chance alone explains such an interval" in found.verdict
    assert other.cost_per_point_s is None


def test_a_gain_that_was_shown_has_its_cost() -> None:
    found = analysed(few_that_differ("grpo", gained=0), few_that_differ("rlsd", gained=30))
    assert [arm.cost_per_point_s for arm in found.arms] == [None, pytest.approx(100 / 30)]
    assert [arm.outcome for arm in found.arms] == [None, "better"]


def test_few_seeds_are_named() -> None:
    single = analysed(run("grpo", 0, 0.4), run("rlsd", 0, 0.8)).verdict
    assert "better than grpo (only 1 seed, n = 60" in single
    assert "With 1 seed" in single
    assert "seed" not in analysed(*three_seeds("grpo", 0.4), *three_seeds("rlsd", 0.8)).verdict


def test_more_arms_raise_the_adjusted_p_value() -> None:
    pair = analysed(*three_seeds("grpo", 0.5), *three_seeds("rlsd", 0.56))
    more = analysed(
        *three_seeds("grpo", 0.5), *three_seeds("rlsd", 0.56), *three_seeds("opsd", 0.5), *three_seeds("sdpo", 0.5)
    )
    assert pair.arms[1].p_value == more.arms[1].p_value
    assert (more.arms[1].p_adjusted or 0) >= (pair.arms[1].p_adjusted or 1)


@pytest.mark.parametrize(
    ("budget", "limit", "slow_steps"),
    [("steps", None, [100] * 3), ("seconds", 100.0, [50] * 3), ("tokens", 32_000.0, [50] * 3)],
)
def test_with_a_budget_the_last_evaluation_within_it_counts(
    budget: str, limit: float | None, slow_steps: list[int]
) -> None:
    found = analysed(*three_seeds("fast", 0.5), *three_seeds("slow", 0.5, step_s=2.0), budget=budget, limit=limit)
    assert found.arms[1].steps == slow_steps


def test_the_baseline_is_not_a_result_and_arms_without_a_result_are_named() -> None:
    quick, slow = three_seeds("quick", 0.5), three_seeds("slow", 0.5, steps=(0, 100))
    found = analysed(*quick, *slow, budget="steps", limit=60)
    assert found.arms[1].score is None
    assert found.arms[1].baseline is not None
    assert found.arms[1].difference is None
    assert "slow has no result within the budget" in found.verdict
    assert "no significant difference" not in found.verdict
    untrained = analysed(run("grpo", 0, 0.5, steps=(0,)), run("rlsd", 0, 0.5, steps=(0,)))
    assert [arm.score for arm in untrained.arms] == [None, None]
    assert untrained.verdict.startswith("Nothing can be compared yet: two methods must first be evaluated")


def test_a_step_that_started_within_the_budget_counts() -> None:
    whole = [run(arm, 0, 0.5, steps=(0, 50)) for arm in ("grpo", "rlsd")]
    last_s = 49.0
    assert analysed(*whole, budget="seconds", limit=last_s + 0.5).arms[1].steps == [50]
    assert analysed(*whole, budget="seconds", limit=last_s).arms[1].steps == []


def keeping(whole: Run, *selections: float) -> Run:
    """Return the run as one that keeps its best step, chosen by these scores."""
    chosen = [replace(e, selection=score) for e, score in zip(whole.evaluations, selections, strict=True)]
    return replace(whole, evaluations=chosen)


@pytest.mark.parametrize(
    ("selections", "limit", "kept"),
    [
        ((0.1, 0.6, 0.4), None, 50),
        ((0.1, 0.6, 0.6), None, 50),
        ((0.1, 0.6, 0.7), 60, 50),
        ((0.1, 0.6, 0.7), None, 100),
        ((0.6, 0.6, 0.5), None, 0),
    ],
)
def test_a_run_that_keeps_its_best_step_is_compared_by_it_and_costs_all_its_steps(
    selections: tuple[float, ...], limit: float | None, kept: int
) -> None:
    run_of_best = keeping(run("best", 0, 0.5), *selections)
    found = analysed(run("grpo", 0, 0.5), run_of_best, budget="steps", limit=limit)
    assert found.arms[1].steps == [kept]
    assert found.arms[1].seconds == found.arms[0].seconds == (50 if limit else 100)
    expected = next(e for e in run_of_best.evaluations if e.step == kept)
    assert found.arms[1].score is not None
    assert found.arms[1].score.mean == pytest.approx(np.mean(list(expected.means.values())))


def test_only_questions_that_all_answered_count() -> None:
    whole, part = run("grpo", 0, 0.5), run("rlsd", 0, 0.5)
    unscored = [EvaluationScores(m.step, {**m.scores, 0: [None] * 4}) for m in part.evaluations]
    found = analysed(whole, Run("rlsd", 0, unscored, part.tokens, part.seconds))
    assert found.questions == QUESTIONS - 1
    assert [(arm.completions, arm.unscored) for arm in found.arms] == [(4 * QUESTIONS, 0), (4 * QUESTIONS, 4)]
    assert "rlsd: 4 of 240 held-out completions had no score and are left out." in found.verdict
    assert "grpo: " not in found.verdict


def test_a_single_question_has_no_interval_and_decides_nothing() -> None:
    def answered(arm: str, score: float) -> Run:
        return Run(arm, 0, [EvaluationScores(step, {7: [score]}) for step in (0, 50)], {}, {})

    found = analysed(answered("grpo", 0.0), answered("rlsd", 1.0))
    better = found.arms[1]
    assert better.difference == Interval(1.0, None, None)
    assert (better.score, better.baseline) == (better.difference, better.difference)
    assert [point.score.low for point in better.curve] == [None, None]
    assert better.p_adjusted == 1.0
    assert "rlsd: one question is not enough for a comparison." in found.verdict


def test_curves_pass_at_k_and_cost() -> None:
    arm = analysed(*three_seeds("grpo", 0.5), *three_seeds("rlsd", 0.8)).arms[1]
    assert [point.step for point in arm.curve] == [0, 50, 100]
    assert list(arm.pass_at_k) == [1, 2, 4]
    assert arm.pass_at_k[1] < arm.pass_at_k[2] < arm.pass_at_k[4]
    assert arm.score is not None
    assert arm.pass_at_k[1] == pytest.approx(arm.score.mean)
    assert arm.cost_per_point_s == pytest.approx(100 / 60, rel=0.2)
    assert len(arm.by_seed) == 3


@pytest.mark.parametrize(
    "runs",
    [list, lambda: [run("grpo", 0, 0.5)], lambda: [Run("rlsd", 0, [], {}, {})]],
    ids=["no run", "one arm", "not evaluation yet"],
)
def test_nothing_to_compare_is_reported(runs: Callable[[], list[Run]]) -> None:
    found = analyse(["grpo", "rlsd"], runs(), budget="steps", limit=None, success_above=0.5)
    assert found.verdict.startswith("Nothing can be compared yet")


def held_out_by_seed(arm: str, final: float) -> list[Run]:
    """Simulate runs in which each seed evaluates 20 questions of its own."""
    return [
        replace(
            whole,
            evaluations=[
                EvaluationScores(m.step, {row: s for row, s in m.scores.items() if row // 20 == whole.seed})
                for m in whole.evaluations
            ],
        )
        for whole in three_seeds(arm, final)
    ]


def test_if_seeds_hold_out_different_rows_each_question_counts_with_its_seed() -> None:
    found = analysed(*held_out_by_seed("grpo", 0.4), *held_out_by_seed("rlsd", 0.8))
    assert found.questions == QUESTIONS
    better = found.arms[1]
    assert better.difference is not None
    assert better.difference.mean == pytest.approx(0.4, abs=0.12)
    assert len(better.by_seed) == 3
    assert [len(point.by_seed) for point in better.curve] == [3, 3, 3]
    assert better.pass_at_k[1] == pytest.approx(better.score.mean)  # type: ignore[union-attr]


def test_a_question_of_only_one_arm_does_not_count() -> None:
    found = analysed(*held_out_by_seed("grpo", 0.4)[:2], *held_out_by_seed("rlsd", 0.8))
    assert found.questions == 40
    assert len(found.arms[1].by_seed) == 2
