"""`good_prefix` against its formula, token by token in plain Python floats, and what follows from the formula."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.settings.choices import RewardScale
from tests.worker.engine.methods.test_methods import make_options, random_inputs
from worker.engine.credit import assign_credit
from worker.engine.methods.advantages import failing_sequences, group_advantages, group_baselines
from worker.engine.methods.good_prefix import mean_values

GROUP = 3


def values_of(deltas, *, reward, o):
    """Compute `u_t` of one completion from the formula."""
    if reward > o.success_above:
        return [1.0] * len(deltas)
    rejected = [t for t, delta in enumerate(deltas) if delta < -1.6]
    end = rejected[0] - o.prefix_margin if rejected else 0
    return [o.alpha_prefix if t < end else 0.0 for t in range(len(deltas))]


def oracle(inputs, o):
    """Compute `A^_t` of every completion's tokens, group by group."""
    rewards, values = inputs.rewards_B.tolist(), []
    for b, reward in enumerate(rewards):
        deltas = []
        for t in range(int(inputs.mask_BT[b].sum())):
            heard = bool(inputs.teacher_mask_B[b]) and bool(inputs.teacher_mask_BT[b, t])
            delta = inputs.teacher_logps_BT[b, t].item() - inputs.student_logps_BT[b, t].item() if heard else 0.0
            deltas.append(delta)
        values.append(values_of(deltas, reward=reward, o=o))
    found = []
    for b, reward in enumerate(rewards):
        first = b - b % GROUP
        scored = [g for g in range(first, first + GROUP) if not math.isnan(rewards[g])]
        baseline = sum(sum(values[g]) / len(values[g]) for g in scored) / len(scored)
        found.append([0.0 if math.isnan(reward) else value - baseline for value in values[b]])
    return found


def credit_of(inputs, options):
    """Return the advantages of a step's sequences, with the baselines of their groups."""
    means_B = mean_values(inputs, options)
    baselines_B = group_baselines(means_B, rewards_B=inputs.rewards_B, num_generations=GROUP)
    return assign_credit("good_prefix", replace(inputs, baselines_B=baselines_B), options).advantages_BT


@pytest.mark.parametrize("margin", [0, 1, 2, 20])
@pytest.mark.parametrize("has_teacher", [True, False])
@pytest.mark.parametrize("poison", [math.nan, -math.inf, math.inf])
def test_credit_matches_the_formula(poison, has_teacher, margin):
    for seed in range(5):
        inputs = random_inputs(seed=seed, has_teacher=has_teacher, poison=poison)
        options = make_options(alpha_prefix=0.3, prefix_margin=margin)
        found = credit_of(inputs, options)
        for row, expected in zip(found, oracle(inputs, options), strict=True):
            padded = expected + [0.0] * (len(row) - len(expected))
            torch.testing.assert_close(row, torch.tensor(padded, dtype=torch.float64), rtol=0, atol=1e-15)


def test_without_value_in_the_prefix_it_is_grpo_without_the_deviation():
    inputs = replace(random_inputs(), rewards_B=torch.tensor([1.0, 0, 0, 1, 1, 0, 0, 0, 0], dtype=torch.float64))
    found = credit_of(inputs, make_options(alpha_prefix=0.0))
    centred_B = group_advantages(inputs.rewards_B, num_generations=GROUP, scale=RewardScale.NONE).double()
    grpo = assign_credit("grpo", replace(inputs, advantages_B=centred_B), make_options()).advantages_BT
    torch.testing.assert_close(found, grpo, rtol=0, atol=1e-7)
    assert (found != 0).any()


def test_a_group_that_is_all_right_gets_nothing_and_one_that_is_all_wrong_learns_from_its_prefixes():
    inputs = random_inputs()
    right = credit_of(replace(inputs, rewards_B=torch.ones(9, dtype=torch.float64)), make_options())
    assert torch.equal(right, torch.zeros_like(right))
    wrong = credit_of(replace(inputs, rewards_B=torch.zeros(9, dtype=torch.float64)), make_options())
    assert (wrong > 0).any()
    assert (wrong < 0).any()


def test_the_means_of_a_groups_completions_add_up_to_nothing():
    inputs = random_inputs()
    found = credit_of(inputs, make_options())
    means_PG = (found.sum(1) / inputs.mask_BT.sum(1)).view(-1, GROUP)
    torch.testing.assert_close(means_PG.sum(1), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-14)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), alpha=st.floats(0, 1), margin=st.integers(0, 12))
def test_within_a_wrong_completion_credit_never_rises(seed, alpha, margin):
    inputs = random_inputs(seed=seed)
    found = credit_of(inputs, make_options(alpha_prefix=alpha, prefix_margin=margin))
    for row, mask, reward in zip(found, inputs.mask_BT, inputs.rewards_B.tolist(), strict=True):
        inside = row[mask]
        assert (inside.diff() <= 0).all()
        assert inside.max() - inside.min() <= alpha + 1e-12
        if reward > 0.5:
            assert (inside >= 0).all()


def test_rewards_and_baselines_are_needed():
    for missing in ("rewards_B", "baselines_B"):
        with pytest.raises(ValueError, match="needs rewards and the baselines"):
            assign_credit("good_prefix", replace(random_inputs(), **{missing: None}), make_options())


def test_only_scored_sequences_of_groups_with_a_wrong_one_can_learn():
    rewards = torch.tensor([1.0, 0.0, math.nan, 1.0, 1.0, math.nan, 0.5, 0.2, 0.1])
    found = failing_sequences(rewards, num_generations=GROUP, success_above=0.5)
    assert found.tolist() == [True, True, False, False, False, False, True, True, True]
