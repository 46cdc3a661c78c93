"""Rescoring with another verifier: changes counted from the score records."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.core.settings.choices import RewardScale
from backend.jobs.rescore import (
    MAX_EXAMPLES,
    MAX_ROWS,
    RescoredCompletion,
    RescoreTally,
    ScoringRule,
    advantages,
    combined_advantages,
)
from backend.verifiers.record import ScoreRecord, ScoreStatus, error_record
from worker.engine.methods.advantages import combined_advantages as combined_in_the_engine
from worker.engine.methods.advantages import group_advantages

RULE = ScoringRule(
    num_generations=4, scale_rewards=RewardScale.STD, success_above=0.5, weights_before={}, weights_after={}
)


def record(score: float | None) -> ScoreRecord:
    return error_record("broken") if score is None else ScoreRecord(score=score, status=ScoreStatus.OK)


def rescored(
    before: float | None, after: float | None, *, number: int = 0, row: int = 0, step: int = 1
) -> RescoredCompletion:
    return RescoredCompletion(
        step=step,
        number=number,
        row=row,
        line=row + 1,
        sample=number % RULE.num_generations,
        answer="42",
        completion=f"completion {number}",
        before=record(before),
        after=record(after),
    )


def tally_of(*pairs: tuple[float | None, float | None], rule: ScoringRule = RULE) -> dict:
    """Return the result for completions of one step: groups of four, one row per group."""
    tally = RescoreTally(rule)
    for number, (before, after) in enumerate(pairs):
        tally.add(rescored(before, after, number=number, row=number // rule.num_generations))
    return tally.result()


def transitions(result: dict) -> dict[tuple[str, str], int]:
    return {(line["before"], line["after"]): line["count"] for line in result["transitions"]}


scores = st.one_of(st.none(), st.floats(-10, 10), st.sampled_from([0.0, 1.0, 0.1, 1 / 3, 1e6, -1e6, 1e300]))


@given(st.lists(scores, min_size=2, max_size=9), st.sampled_from(RewardScale))
def test_advantages_are_the_engines(scores_G: list[float | None], scale: RewardScale) -> None:
    if scale is RewardScale.NONE and 1e300 in scores_G:
        scale = RewardScale.STD  # unscaled, such an advantage is beyond the engine's float32
    rewards_B = torch.tensor([float("nan") if score is None else score for score in scores_G], dtype=torch.float64)
    theirs = group_advantages(rewards_B, num_generations=len(scores_G), scale=scale).tolist()
    assert advantages(scores_G, scale=scale) == pytest.approx(theirs, rel=1e-5, abs=1e-6)


def in_parts(values: tuple[float, ...] | None) -> ScoreRecord:
    """Return a record of the score 0 with the components a, b; None: without a score."""
    if values is None:
        return error_record("broken")
    return ScoreRecord(score=0.0, status=ScoreStatus.OK, components=dict(zip("ab", values, strict=True)))


values = st.none() | st.tuples(*[st.sampled_from([0.0, 1.0, 0.25, -3.0, 1e6])] * 2)


@given(st.lists(values, min_size=2, max_size=9), st.tuples(*[st.sampled_from([0.8, -0.2, 5.0])] * 2))
def test_advantages_of_components_are_the_engines(
    values_G: list[tuple[float, ...] | None], weights_K: tuple[float, ...]
) -> None:
    records, weights = [in_parts(each) for each in values_G], dict(zip("ab", weights_K, strict=True))
    components_KB = torch.tensor([each or (float("nan"),) * 2 for each in values_G], dtype=torch.float64).T
    theirs = combined_in_the_engine(
        components_KB, weights_K=torch.tensor(weights_K, dtype=torch.float64), num_generations=len(values_G)
    )
    assert combined_advantages(records, weights=weights) == pytest.approx(theirs.tolist(), rel=1e-4, abs=1e-5)


def test_where_components_are_normalised_apart_a_group_lives_if_one_of_them_differs() -> None:
    rule = replace(RULE, weights_before={"a": 1.0, "b": 0.5})
    tally = RescoreTally(rule)
    before = [(1.0, 0.0), (1.0, 1.0), (1.0, 0.0), (1.0, 1.0), *[(1.0, 1.0)] * 4]
    for number, parts in enumerate(before):
        completion = rescored(0.0, float(number == 0), number=number, row=number // 4)
        tally.add(replace(completion, before=in_parts(parts)))
    training = tally.result()["training"]
    assert (training["groups"], training["dead_before"], training["dead_after"]) == (2, 1, 1)
    assert training["signs_changed"] == 3, "the sign of the first, third and fourth"
    assert training["signs_reversed"] == 3


def test_the_same_scores_change_nothing() -> None:
    result = tally_of(*[(1.0, 1.0), (0.0, 0.0), (None, None), (0.5, 0.5)])
    assert (result["completions"], result["changed"], result["rows_changed"], result["examples"]) == (4, 0, 0, [])
    assert result["summary"] == "All 4 completions keep their score."
    assert transitions(result) == {("right", "right"): 1, ("wrong", "wrong"): 2, ("error", "error"): 1}


def test_changes_are_counted_by_verdict_row_and_group() -> None:
    result = tally_of(
        *[(0.0, 0.0), (0.0, 0.0), (0.0, 1.0), (0.0, 0.0)],  # dead, comes alive
        *[(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (None, 0.0)],  # best and worst swap; one gets a score for the first time
        *[(1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0)],  # dead as before
    )
    assert transitions(result) == {
        ("right", "right"): 4,
        ("wrong", "wrong"): 4,
        ("wrong", "right"): 2,
        ("right", "wrong"): 1,
        ("error", "wrong"): 1,
    }
    assert (result["changed"], result["changed_share"]) == (4, pytest.approx(4 / 12))
    assert (result["mean_before"], result["mean_after"]) == (pytest.approx(5 / 11), pytest.approx(6 / 12))
    assert [(row["row"], row["line"], row["changed"]) for row in result["rows"]] == [(1, 2, 3), (0, 1, 1), (2, 3, 0)]
    assert (result["rows"][0]["mean_before"], result["rows"][0]["mean_after"]) == (pytest.approx(1 / 3), 0.25)
    training = result["training"]
    assert (training["groups"], training["groups_incomplete"]) == (3, 0)
    assert (training["dead_before"], training["dead_after"], training["came_alive"], training["died"]) == (2, 1, 1, 0)
    assert (training["mixed_before"], training["mixed_after"]) == (1, 2)
    assert (training["advantages"], training["signs_changed"], training["signs_reversed"]) == (12, 7, 2)
    assert "4 of 12 completions (33.3%) change score" in result["summary"]
    assert "Of 3 groups, 2 have a training signal instead of 1" in result["summary"]


def test_another_scale_changes_scores_and_no_sign() -> None:
    result = tally_of(*[(1.0, 0.9), (0.0, 0.1), (0.0, 0.1), (1.0, 0.9)])
    assert (result["changed"], result["training"]["signs_changed"]) == (4, 0)
    assert transitions(result) == {("right", "right"): 2, ("wrong", "wrong"): 2}


def test_an_incomplete_group_is_reported_but_not_counted() -> None:
    training = tally_of(*[(0.0, 1.0), (0.0, 0.0), (0.0, 0.0)])["training"]
    assert (training["groups"], training["groups_incomplete"], training["advantages"]) == (0, 1, 0)


def test_two_groups_of_one_row_in_a_step_are_two_groups() -> None:
    tally = RescoreTally(RULE)
    for number in range(8):
        tally.add(rescored(0.0, float(number == 0), number=number, row=5))
    training = tally.result()["training"]
    assert (training["groups"], training["dead_before"], training["dead_after"]) == (2, 2, 1)


def test_the_summary_omits_groups_if_the_method_does_not_learn_from_scores() -> None:
    rule = replace(RULE, learns=False)
    assert "groups" not in tally_of(*[(0.0, 1.0)] * 4, rule=rule)["summary"]


def test_faults_of_the_new_verifier_are_reported_as_a_share() -> None:
    assert tally_of(*[(1.0, None), (1.0, None), (0.0, 0.0), (1.0, 1.0)])["fault_share_after"] == 0.5


def test_everything_is_counted_but_lists_are_bounded() -> None:
    tally = RescoreTally(RULE)
    for number in range(4000):
        before, after = (0.0, 1.0) if number % 2 else (1.0, None)
        tally.add(rescored(before, after, number=number, row=number // 4))
    result = tally.result()
    assert (result["rows_total"], result["rows_changed"], len(result["rows"])) == (1000, 1000, MAX_ROWS)
    assert len(result["examples"]) == MAX_EXAMPLES
    kinds = {(example["before"]["score"], example["after"]["status"]) for example in result["examples"]}
    assert kinds == {(0.0, "ok"), (1.0, "error")}
    assert len(json.dumps(result)) < 200_000


@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=40), st.randoms())
def test_order_does_not_matter(pairs: list[tuple[float | None, float | None]], rng) -> None:
    made = [rescored(before, after, number=n, row=n // 4) for n, (before, after) in enumerate(pairs)]
    shuffled = list(made)
    rng.shuffle(shuffled)
    results = []
    for order in (made, shuffled):
        tally = RescoreTally(RULE)
        for completion in order:
            tally.add(completion)
        results.append(tally.result() | {"examples": None})
    assert results[0] == results[1]
    assert sum(line["count"] for line in results[0]["transitions"]) == len(pairs)
