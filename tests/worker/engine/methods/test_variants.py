"""Dr. GRPO's options, and the end of a run without signal."""

import statistics
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load

from backend.core.settings.choices import RewardScale
from tests.worker.engine.tiny import (
    Recorder,
    Verdict,
    make_step_tensors,
    tiny_policy,
    tiny_settings,
    tiny_tasks,
    vowel_share,
)
from tests.worker.engine.training.test_update import advantages_of, gradients, ragged, rollouts_of
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.methods.advantages import group_advantages
from worker.engine.rollouts.logprobs import plan_rollout_batches
from worker.engine.training.objective import loss_weights
from worker.engine.training.update import TrainBatch, accumulate_gradients
from worker.engine.types import Ending


@given(rewards=st.lists(st.floats(-5, 5, width=32), min_size=4, max_size=4))
def test_without_scaling_the_advantage_is_the_distance_from_the_groups_mean(rewards):
    found = group_advantages(torch.tensor(rewards, dtype=torch.float64), num_generations=4, scale=RewardScale.NONE)
    mean = sum(rewards) / 4
    expected = [0.0] * 4 if len(set(rewards)) == 1 else [reward - mean for reward in rewards]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-6, atol=1e-6)


@given(rewards=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0.0, 5.0), min_size=4, max_size=4))
def test_scaled_by_the_mean_the_advantage_is_that_of_maxrl(rewards):
    found = group_advantages(torch.tensor(rewards, dtype=torch.float64), num_generations=4, scale=RewardScale.MEAN)
    mean = statistics.mean(rewards)
    expected = [0.0] * 4 if len(set(rewards)) == 1 else [(reward - mean) / (mean + 1e-6) for reward in rewards]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_scaled_by_the_mean_one_right_completion_of_many_counts_the_number_of_completions():
    found = group_advantages(torch.tensor([1.0, *[0.0] * 7]), num_generations=8, scale=RewardScale.MEAN)
    torch.testing.assert_close(found, torch.tensor([7.0, *[-1.0] * 7]), rtol=1e-5, atol=0)


@given(rewards=st.lists(st.integers(-5, 5).map(float), min_size=4, max_size=4))
def test_scaled_by_the_mean_negative_rewards_turn_no_advantage_around(rewards):
    values = torch.tensor(rewards, dtype=torch.float64)
    found = group_advantages(values, num_generations=4, scale=RewardScale.MEAN)
    unscaled = group_advantages(values, num_generations=4, scale=RewardScale.NONE)
    assert torch.equal(found.sign(), unscaled.sign())
    assert found.abs().max() <= 5


def test_without_scaling_a_missing_score_is_still_left_out_of_the_mean():
    found = group_advantages(torch.tensor([1.0, torch.nan, 0.0, 0.5]), num_generations=4, scale=RewardScale.NONE)
    torch.testing.assert_close(found, torch.tensor([0.5, 0.0, -0.5, 0.0]))


def test_the_constant_normaliser_gives_every_token_the_same_weight_in_every_step():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    shares = loss_weights(mask, loss="constant", max_completion_tokens=9, dtype=torch.float64)
    assert torch.equal(shares, mask.double() / (2 * 9))


def test_dr_grpos_gradient_is_grpos_with_each_token_divided_by_a_constant():
    """Compare with plain autograd: sum over tokens of A grad log pi, divided by B * max_completion_tokens."""
    settings = tiny_settings(method="grpo", loss="constant", max_completion_tokens=12)
    policy = tiny_policy(settings, random_adapters=True)
    rollouts = ragged(rollouts_of(policy))
    advantages = advantages_of(rollouts)
    plan = plan_rollout_batches(rollouts, sequences=range(16), teacher_contexts=[], micro_batch_tokens=120)
    accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=make_step_tensors(rollouts, advantages), plan=plan, lam=0.0),
        settings=settings,
    )
    found = gradients(policy)
    policy.model.zero_grad()
    for b in range(16):
        prompt, length = rollouts.prompt_of(b).student.ids, int(rollouts.lengths_B[b])
        completion = rollouts.completion_ids_BT[b, :length]
        ids = torch.cat([torch.tensor(prompt), completion])[None]
        logps = torch.log_softmax(policy.model(input_ids=ids).logits[0, len(prompt) - 1 : -1], -1)
        chosen = logps.gather(1, completion[:, None]).squeeze(1)
        (-(advantages[b] * chosen).sum() / (16 * 12)).backward()
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    assert max(gradient.abs().max() for gradient in found.values()) > 1e-3


def run_training(settings, *, reward, resume=None, tasks=None):
    recorder = Recorder()
    ending = run(
        Experiment(
            settings=settings, policy=tiny_policy(settings), tasks=tasks or tiny_tasks(7), held_out=[], reward=reward
        ),
        observer=recorder,
        resume=resume,
    )
    return ending, recorder


@pytest.mark.parametrize("method", ["grpo", "rlsd"])
def test_a_run_ends_with_an_event_after_consecutive_steps_without_signal(method):
    calls = []

    def one_good_step_among_dead_ones(completions):
        calls.append(len(completions))
        return vowel_share(completions) if len(calls) == 3 else [Verdict(0.0) for _ in completions]

    settings = tiny_settings(method=method, max_steps=9, max_dead_steps=3)
    ending, recorder = run_training(settings, reward=one_good_step_among_dead_ones)
    assert ending is Ending.NO_SIGNAL
    assert [report.step for report in recorder.steps] == [1, 2, 3, 4, 5, 6]
    assert [code for _, code, _ in recorder.events] == ["no_signal"]
    assert recorder.checkpoints[-1].step == 6
    patient = settings.model_copy(update={"max_dead_steps": 0})
    assert run_training(patient, reward=lambda c: [Verdict(0.0) for _ in c])[0] is Ending.DONE


@pytest.mark.parametrize("divergence", ["sampled", "jsd"])
def test_grpo_opsd_with_alpha_zero_is_bit_identical_to_grpo(divergence):
    tasks = [replace(task, answer=None) for task in tiny_tasks(7)]
    changes = {"max_steps": 3, "alpha": 0.0, "token_share": 1.0, "diagnostic_interval": 0}
    (_, grpo), (_, silent) = (
        run_training(tiny_settings(method=method, **changes, **more), reward=vowel_share, tasks=tasks)
        for method, more in (("grpo", {}), ("grpo_opsd", {"divergence": divergence}))
    )
    (first, last), expected = (load(silent.checkpoints[end].data) for end in (0, -1)), load(grpo.checkpoints[-1].data)
    assert last.keys() == expected.keys()
    assert all(torch.equal(last[key], tensor) for key, tensor in expected.items())
    for one, two in zip(grpo.steps, silent.steps, strict=True):
        assert two.rollouts == one.rollouts
        assert two.metrics["teacher_tokens"] == 0
        assert two.metrics.keys() == one.metrics.keys()
    assert not all(torch.equal(last[key], tensor) for key, tensor in first.items())


def test_a_distilling_run_has_a_signal_although_all_scores_are_equal():
    settings = tiny_settings(method="opsd", max_steps=4, max_dead_steps=2)
    ending, recorder = run_training(settings, reward=lambda completions: [Verdict(0.0) for _ in completions])
    assert ending is Ending.DONE
    assert {report.metrics["skipped"] for report in recorder.steps} == {0.0}
