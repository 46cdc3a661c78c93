"""Collecting rollouts: groups without signal are replaced by fresh prompts (DAPO)."""

from dataclasses import replace

import pytest
import torch

from backend.core.settings.choices import RewardScale
from tests.worker.engine.rollouts.test_rollouts import eager_policy
from tests.worker.engine.tiny import Verdict, rollout_context, tiny_policy, tiny_prompts
from tests.worker.engine.training.test_update import ragged, rollouts_of
from worker.engine.measure import Stopwatch
from worker.engine.methods.advantages import combined_advantages, dead_groups, group_advantages
from worker.engine.rollouts.collect import collect_rollouts
from worker.engine.rollouts.drawing import SolveHistory
from worker.engine.rollouts.reward import Scored, VerifierFaults, concat_scored, overlong_penalties
from worker.engine.rollouts.rollouts import concat_rollouts
from worker.engine.seeds import batch_indices


def alive(rows):
    """Return a reward that differs between completions of these rows only."""

    def reward(completions):
        return [
            Verdict(float(i % 2) if done.task.row in rows else 1.0, reason=done.text)
            for i, done in enumerate(completions)
        ]

    return reward


def collected(reward, *, policy=None, step=1, rows=9, weights=None, history=None, **changes):
    policy = policy or tiny_policy()
    context = rollout_context(policy, **{"batch_size": 3, "max_completion_tokens": 12} | changes)
    watch = Stopwatch(policy.device)
    return collect_rollouts(
        replace(context, reward=reward, component_weights=weights or {}),
        tiny_prompts(policy, rows),
        practice_prompts=None,
        step=step,
        history=history or SolveHistory(),
        watch=watch,
    )


def rows_of(batch):
    return [prompt.task.row for prompt in batch.rollouts.prompts]


def first_rows(step=1):
    return [index + 1 for index in batch_indices(step, seed=7, batch_size=3, num_rows=9)]


def test_without_rounds_the_batch_stays_as_it_was_drawn():
    batch = collected(alive(set()))
    assert rows_of(batch) == first_rows()
    assert batch.resampled_groups == 0
    assert not batch.advantages_B.any()


def test_a_group_without_signal_is_replaced_by_a_prompt_the_step_has_not_tried():
    kept = first_rows()[1]
    others = set(range(1, 10)) - set(first_rows())
    batch = collected(alive({kept} | others), resample_rounds=3)
    rows = rows_of(batch)
    assert rows[1] == kept
    assert set(rows[::2]) <= others
    assert batch.resampled_groups == 2, "one round was enough"
    assert not dead_groups(batch.scored.rewards_B.view(3, 4)).any()


def test_no_prompt_is_tried_twice_within_a_step_and_the_rounds_are_bounded():
    seen = []

    def nothing_varies(completions):
        seen.append([done.task.row for done in completions[::4]])
        return [Verdict(0.0) for _ in completions]

    batch = collected(nothing_varies, resample_rounds=1)
    assert [len(rows) for rows in seen] == [3, 3]
    assert batch.resampled_groups == 3
    seen.clear()
    collected(nothing_varies, resample_rounds=9)
    assert sorted(row for rows in seen for row in rows) == list(range(1, 10)), "every row once, and then it is over"


@pytest.mark.parametrize(("cache", "factor"), [(1, 1.0), (4, 1.0), (7, 0.5), (20, 2.0)])
def test_the_penalty_of_a_long_completion_is_that_of_dapo_in_trl(cache, factor):
    from trl.rewards import get_soft_overlong_punishment  # here, since each process imports all test modules

    lengths = torch.arange(1, 21)
    found = overlong_penalties(lengths, max_completion_tokens=20, buffer=cache, factor=factor)
    theirs = get_soft_overlong_punishment(20, cache)([[1] * length for length in lengths.tolist()])
    assert found.tolist() == pytest.approx([-factor * reward for reward in theirs], abs=1e-15)
    assert (found > 0).sum() == cache


def test_advantages_are_those_of_the_scores_minus_the_penalties():
    changes = {"max_completion_tokens": 60, "overlong_buffer": 50, "overlong_penalty": 0.5}
    plain = collected(alive({1, 2, 3, 4, 5}), max_completion_tokens=60)
    batch = collected(alive({1, 2, 3, 4, 5}), **changes)
    assert plain.penalties_B is None
    assert batch.penalties_B.any()
    assert torch.equal(batch.scored.rewards_B, plain.scored.rewards_B), "what the verifier said stays"
    rewards_B = plain.scored.rewards_B - 0.5 * (batch.rollouts.lengths_B.double() - 10).clamp(min=0) / 50
    expected = group_advantages(rewards_B, num_generations=4, scale=RewardScale.STD)
    torch.testing.assert_close(batch.advantages_B, expected)


def test_truncated_completions_count_in_the_mean_of_their_group_and_get_no_advantage():
    rows, tokens = set(range(1, 10)), 60
    plain = collected(alive(rows), max_completion_tokens=tokens)
    masked = collected(alive(rows), max_completion_tokens=tokens, mask_truncated=True)
    truncated_B = plain.rollouts.truncated_B
    assert truncated_B.any()
    assert not truncated_B.all()
    assert not masked.advantages_B[truncated_B].any()
    assert torch.equal(masked.advantages_B[~truncated_B], plain.advantages_B[~truncated_B])


def in_parts(rows):
    """Return a reward of 0 throughout, whose two components differ between completions of these rows, and cancel."""

    def reward(completions):
        parts = [float(i % 2) if done.task.row in rows else 1.0 for i, done in enumerate(completions)]
        return [Verdict(0.0, components={"a": part, "b": part, "unused": float(i)}) for i, part in enumerate(parts)]

    return reward


def test_a_group_that_differs_in_components_alone_has_a_signal_where_they_are_normalised_apart():
    kept, weights = first_rows()[1], {"a": 2.0, "b": -1.0}
    others = set(range(1, 10)) - set(first_rows())
    batch = collected(in_parts({kept} | others), weights=weights, combine="normalise", resample_rounds=1)
    assert batch.resampled_groups == 2, "the group of the kept row stays"
    assert not batch.dead_P.any()
    assert batch.advantages_B.all()
    summed = collected(in_parts({kept} | others), resample_rounds=1)
    assert summed.resampled_groups == 3
    assert summed.dead_P.all()
    assert not summed.advantages_B.any()


def test_the_penalty_for_length_is_a_component_of_its_own_where_they_are_normalised_apart():
    changes = {"max_completion_tokens": 60, "overlong_buffer": 50, "overlong_penalty": 0.5, "combine": "normalise"}
    batch = collected(in_parts({1, 2, 3, 4, 5}), weights={"a": 2.0}, **changes)
    assert batch.penalties_B.any()
    values_KB = torch.stack([torch.tensor([r.components["a"] for r in batch.scored.records]), -batch.penalties_B])
    expected = combined_advantages(
        values_KB.double(), weights_K=torch.tensor([2.0, 0.5], dtype=torch.float64), num_generations=4
    )
    torch.testing.assert_close(batch.advantages_B, expected)


def test_the_history_of_rows_gets_every_group_that_was_sampled():
    history = SolveHistory()
    kept, others = first_rows()[1], set(range(1, 10)) - set(first_rows())
    collected(alive({kept} | others), history=history, resample_rounds=1)
    assert not history.tried, "nothing to remember where rows are drawn in passes"
    batch = collected(alive({kept} | others), history=history, resample_rounds=2, sampling="informative")
    assert len(history.tried) == 3 + batch.resampled_groups
    assert {history.right[prompt.task.row - 1] for prompt in batch.rollouts.prompts if prompt.task.row in others} <= {2}


def test_a_kept_group_is_the_one_that_would_have_been_there_without_resampling():
    kept = first_rows()[1]
    plain, batch = collected(alive({kept})), collected(alive({kept}), resample_rounds=2)
    place = slice(4, 8)
    width = plain.rollouts.mask_BT.shape[1]
    assert batch.rollouts.texts[place] == plain.rollouts.texts[place]
    assert torch.equal(batch.rollouts.completion_ids_BT[place, :width], plain.rollouts.completion_ids_BT[place])
    assert torch.equal(batch.advantages_B[place], plain.advantages_B[place])
    assert batch.advantages_B[place].any()


@pytest.mark.parametrize("step", [1, 2])
def test_resampling_is_a_function_of_seed_and_step(step):
    others = set(range(1, 10)) - set(first_rows(step))
    first, again = (collected(alive(others), step=step, resample_rounds=2) for _ in range(2))
    assert rows_of(first) == rows_of(again)
    assert torch.equal(first.rollouts.completion_ids_BT, again.rollouts.completion_ids_BT)
    assert torch.equal(first.advantages_B, again.advantages_B)
    assert first.resampled_groups == again.resampled_groups == 3
    elsewhere = [rows_of(collected(alive(others), step=step, resample_rounds=2, seed=seed)) for seed in range(4)]
    assert any(rows != rows_of(first) for rows in elsewhere)


def test_scores_and_completions_stay_together():
    batch = collected(alive({2, 5, 8}), policy=eager_policy(pad="<|pad|>"), resample_rounds=2)
    rollouts = batch.rollouts
    assert [record.reason for record in batch.scored.records] == list(rollouts.texts)
    for b, text in enumerate(rollouts.texts):
        length = int(rollouts.lengths_B[b])
        ids = rollouts.completion_ids_BT[b, :length].tolist()
        assert set(rollouts.completion_ids_BT[b, length:].tolist()) <= {1}, "the pad id outside the mask"
        written = ids if rollouts.truncated_B[b] else ids[:-1]
        assert eager_policy(pad="<|pad|>").decoder.text(written) == text


@pytest.mark.parametrize("longer", ["kept", "fresh"])
def test_groups_of_two_batches_are_chosen_in_any_order_whichever_is_longer(longer):
    policy = eager_policy(pad="<|pad|>")
    lengths = (12, 5) if longer == "kept" else (5, 12)
    kept, fresh = (
        ragged(rollouts_of(policy, prompts=count, tokens=n)) for count, n in zip((3, 2), lengths, strict=True)
    )
    prompts = [*kept.prompts, *fresh.prompts]
    both = concat_rollouts([kept, fresh], prompts=prompts, num_generations=4, pad_id=policy.pad_id)
    found = both.groups([4, 1, 3])
    assert [prompt.task.row for prompt in found.prompts] == [2, 2, 1]
    for place, (part, origin) in enumerate([(fresh, 1), (kept, 1), (fresh, 0)]):
        here, there = slice(4 * place, 4 * place + 4), slice(4 * origin, 4 * origin + 4)
        width = part.mask_BT.shape[1]
        assert found.texts[here] == part.texts[there]
        assert torch.equal(found.truncated_B[here], part.truncated_B[there])
        for name in ("completion_ids_BT", "mask_BT", "sampling_logps_BT"):
            assert torch.equal(getattr(found, name)[here, :width], getattr(part, name)[there])
        assert not found.mask_BT[here, width:].any()
        assert (found.completion_ids_BT[here, width:] == policy.pad_id).all()


def broken_for(rows, *, share=1.0):
    """Return a reward that never varies and fails for this share of the completions of these rows."""

    def reward(completions):
        return [
            Verdict(None, status="error", reason="broken")
            if done.task.row in rows and i % 4 < 4 * share
            else Verdict(1.0)
            for i, done in enumerate(completions)
        ]

    return reward


def test_a_broken_verifier_is_noticed_though_all_its_groups_would_be_replaced():
    others = set(range(1, 10)) - set(first_rows())
    with pytest.raises(VerifierFaults, match=r"75% .* more than max_error_share = 50%; the first failure: broken"):
        collected(broken_for(first_rows(), share=0.75), resample_rounds=3)
    with pytest.raises(VerifierFaults, match="100% of the completions"):
        collected(broken_for(others), resample_rounds=1)
    late = collected(broken_for(others), resample_rounds=1, max_error_share=1.0)
    assert late.all_scored.fault_share == 0.5
    assert late.scored.fault_share == 1.0


def test_one_row_that_cannot_be_scored_does_not_end_the_run_by_coming_alone_into_a_round():
    (kept, *dead), others = first_rows(), set(range(1, 10)) - set(first_rows())

    def reward(completions):
        rows_scored = {done.task.row for done in completions}
        verdict = broken_for(rows_scored if rows_scored <= others and len(rows_scored) == 1 else set())(completions)
        alive_ones = alive(set(first_rows()) - {dead[0]})(completions)
        return alive_ones if rows_scored & {kept} else verdict

    batch = collected(reward, resample_rounds=1)
    assert batch.resampled_groups == 1
    assert batch.all_scored.fault_share == 4 / 16


def test_discarded_groups_are_counted_in_scores_and_tokens():
    kept = first_rows()[1]
    plain = collected(alive({kept}))
    both = collected(alive({kept}), resample_rounds=1)
    whole = both.rollouts
    fresh = sum(len(p.student.ids) for p in whole.prompts[::2]) + int(whole.mask_BT.view(3, 4, -1)[::2].sum())
    assert len(both.all_scored.records) == 12 + 8
    assert both.num_tokens == plain.num_tokens + fresh
    assert plain.num_tokens == sum(len(p.student.ids) for p in plain.rollouts.prompts) + int(
        plain.rollouts.mask_BT.sum()
    )


def test_fewer_fresh_groups_than_dead_ones_replace_the_first_of_them():
    batch = collected(alive(set()), rows=4, resample_rounds=1)
    first = [index + 1 for index in batch_indices(1, seed=7, batch_size=3, num_rows=4)]
    (untried,) = {1, 2, 3, 4} - set(first)
    assert rows_of(batch) == [untried, *first[1:]]
    assert [record.reason for record in batch.scored.records] == list(batch.rollouts.texts)
    assert batch.resampled_groups == 1


def test_the_scores_of_groups_are_chosen_as_the_rollouts_are():
    def scored(*values):
        return Scored(tuple(Verdict(value) for value in values), torch.tensor(values, dtype=torch.float64))

    kept, fresh = scored(0.0, 0.1, 0.2, 0.3, 0.4, 0.5), scored(0.6, 0.7)
    found = concat_scored([kept, fresh]).groups([0, 3, 2], num_generations=2)
    assert found.rewards_B.tolist() == [0.0, 0.1, 0.6, 0.7, 0.4, 0.5]
    assert [record.score for record in found.records] == found.rewards_B.tolist()
    assert kept.rewards_B.tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
