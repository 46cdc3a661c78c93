"""Group advantages: eq. 1, missing scores and dead groups."""

import math
import statistics

import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.core.settings.choices import RewardScale
from worker.engine.methods.advantages import combined_advantages, dead_groups, group_advantages
from worker.engine.rollouts.reward import MAX_REWARD

NAN = math.nan


def test_advantages_are_the_standardised_rewards_of_each_group():
    rewards = [1.0, 0.0, 0.0, 0.5, 3.0, 1.0, 2.0, 2.0]
    found = group_advantages(torch.tensor(rewards), num_generations=4, scale=RewardScale.STD).tolist()
    expected = []
    for group in (rewards[:4], rewards[4:]):
        mean, std = statistics.mean(group), statistics.stdev(group)
        expected += [(reward - mean) / (std + 1e-6) for reward in group]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected))


@given(reward=st.floats(-1e6, 1e6), size=st.integers(2, 9))
def test_a_group_with_equal_rewards_gives_exactly_zero(reward, size):
    found = group_advantages(
        torch.full((size,), reward, dtype=torch.float64), num_generations=size, scale=RewardScale.STD
    )
    assert torch.equal(found, torch.zeros(size))


@given(rewards=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=9))
def test_rewards_of_any_size_give_finite_standardised_advantages(rewards):
    found = group_advantages(
        torch.tensor(rewards, dtype=torch.float64), num_generations=len(rewards), scale=RewardScale.STD
    )
    assert found.isfinite().all()
    assert found.abs().max() <= len(rewards) ** 0.5


@given(rewards=st.lists(st.floats(-MAX_REWARD, MAX_REWARD), min_size=2, max_size=9), scale=st.sampled_from(RewardScale))
def test_rewards_that_the_engine_takes_give_finite_advantages(rewards, scale):
    found = group_advantages(torch.tensor(rewards, dtype=torch.float64), num_generations=len(rewards), scale=scale)
    assert found.isfinite().all()
    assert found.square().sum().isfinite()


def test_one_very_large_reward_stands_out_of_its_group():
    for large in (1e6, 1e300):
        rewards = torch.tensor([large, 0.0, 0.0, 0.0], dtype=torch.float64)
        found = group_advantages(rewards, num_generations=4, scale=RewardScale.STD)
        torch.testing.assert_close(found, torch.tensor([1.5, -0.5, -0.5, -0.5]))


def test_a_completion_without_a_score_is_left_out_of_the_statistics_and_gets_zero():
    found = group_advantages(torch.tensor([1.0, NAN, 0.0, 0.0]), num_generations=4, scale=RewardScale.STD)
    without = group_advantages(torch.tensor([1.0, 0.0, 0.0]), num_generations=3, scale=RewardScale.STD)
    assert found[1] == 0
    assert torch.equal(found[[0, 2, 3]], without)


def test_groups_with_one_score_or_none_are_dead():
    rewards = torch.tensor([1.0, NAN, NAN, NAN, NAN, NAN, 1.0, 0.0, NAN])
    assert dead_groups(rewards.view(3, 3)).tolist() == [True, True, False]
    found = group_advantages(rewards, num_generations=3, scale=RewardScale.STD)
    assert found[:6].tolist() == [0.0] * 6
    assert found[6:].tolist()[0] > 0 > found[6:].tolist()[1]


REWARDS = st.sampled_from([0.0, 1.0, 0.5, -3.0, 10.0, NAN])


def gdpo(groups, *, weights):
    """Compute GDPO's advantages by the formulas of arXiv 2601.05242, with this project's deviation over the batch.

    `groups`: by group, by completion, by component; a completion is None if it has no reward.
    """
    sums, freedom = [], 0
    for group in groups:
        scored = [completion for completion in group if completion is not None]
        columns = [[completion[k] for completion in scored] for k in range(len(weights))]
        if any(len(set(column)) > 1 for column in columns):
            freedom += len(scored) - 1
        for completion in group:
            total = 0.0
            for k, weight in enumerate(weights):
                if completion is not None and len(set(columns[k])) > 1:
                    deviation = statistics.stdev(columns[k]) + 1e-6
                    total += weight * (completion[k] - statistics.mean(columns[k])) / deviation
            sums.append(total / sum(map(abs, weights)))
    deviation = math.sqrt(math.fsum(value**2 for value in sums) / max(1, freedom)) + 1e-6
    return [value / deviation for value in sums]


@given(
    groups=st.lists(
        st.lists(st.none() | st.tuples(*[st.sampled_from([0.0, 1.0, 0.25, -3.0, 10.0])] * 3), min_size=4, max_size=4),
        min_size=1,
        max_size=4,
    ),
    weights=st.tuples(*[st.sampled_from([0.8, 0.2, -1.0, 30.0])] * 3),
)
def test_components_are_normalised_apart_as_in_gdpo(groups, weights):
    values = [(NAN,) * 3 if completion is None else completion for group in groups for completion in group]
    components_KB = torch.tensor(values, dtype=torch.float64).T
    found = combined_advantages(components_KB, weights_K=torch.tensor(weights, dtype=torch.float64), num_generations=4)
    torch.testing.assert_close(
        found, torch.tensor(gdpo(groups, weights=weights), dtype=torch.float32), atol=1e-4, rtol=1e-5
    )


def test_with_full_groups_that_all_have_a_signal_only_the_scale_differs_from_trl():
    rewards = torch.rand(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.tensor([0.5, 2.0, -1.0], dtype=torch.float64)
    grouped = rewards.T.view(2, 4, 3)  # as in TRL 1.16's GRPOTrainer, `normalize_then_sum`
    normed = (grouped - grouped.mean(1, keepdim=True)) / (grouped.std(1, keepdim=True) + 1e-4)
    theirs = (normed.view(-1, 3) * weights).sum(1)
    theirs = (theirs - theirs.mean()) / (theirs.std() + 1e-4)
    found = combined_advantages(rewards, weights_K=weights, num_generations=4).double()
    freedom = math.sqrt(6 / 7)  # that of two groups of 4, in place of that of 8
    torch.testing.assert_close(found, freedom * theirs, atol=2e-3, rtol=0)


@given(rewards=st.lists(REWARDS, min_size=12, max_size=12), weight=st.sampled_from([1.0, 0.01, 30.0]))
def test_one_component_alone_gives_the_advantage_of_the_sum(rewards, weight):
    rewards_B = torch.tensor(rewards, dtype=torch.float64)
    weights_K = torch.tensor([weight], dtype=torch.float64)
    found = combined_advantages(rewards_B[None], weights_K=weights_K, num_generations=4)
    expected = group_advantages(weight * rewards_B, num_generations=4, scale=RewardScale.STD)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-3 if weight < 1 else 1e-5)


def test_a_small_component_counts_as_much_as_a_large_one_and_dead_groups_do_not_count():
    small, large = [0.0, 0.01, 0.0, 0.01], [0.0, 0.0, 100.0, 100.0]
    weights_K = torch.ones(2, dtype=torch.float64)
    found = combined_advantages(
        torch.tensor([small, large], dtype=torch.float64), weights_K=weights_K, num_generations=4
    )
    torch.testing.assert_close(found, torch.tensor([-1.0, 0.0, 0.0, 1.0]) * math.sqrt(1.5), atol=1e-3, rtol=0)
    with_dead = torch.tensor([[*small, *[7.0] * 8], [*large, *[3.0] * 8]], dtype=torch.float64)
    again = combined_advantages(with_dead, weights_K=weights_K, num_generations=4)
    assert torch.equal(again[:4], found)
    assert not again[4:].any()
