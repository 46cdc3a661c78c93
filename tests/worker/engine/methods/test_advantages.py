"""Group advantages: eq. 1, missing scores and dead groups."""

import math
import statistics

import torch
from hypothesis import given
from hypothesis import strategies as st

from backend.core.settings.choices import RewardScale
from worker.engine.methods.advantages import dead_groups, group_advantages
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
