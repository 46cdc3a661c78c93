"""Student and teacher agree where they should, which detects errors in template, padding, position or adapter."""

import json
from pathlib import Path

import pytest
import torch

from backend.core.settings.choices import TeacherWeights
from tests.worker.engine.tiny import (
    make_step_tensors,
    rollout_contexts,
    sample_rollouts,
    solution_contexts,
    tiny_policy,
    tiny_prompt_builder,
    tiny_settings,
)
from tests.worker.engine.training.test_update import ragged, rollouts_of
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.model.policy_loading import load_policy
from worker.engine.rollouts.logprobs import plan_rollout_batches
from worker.engine.teacher.signals import Scorer, teacher_logps
from worker.engine.training.update import TrainBatch, accumulate_gradients
from worker.engine.types import Task

STARTER = Path(__file__).parents[4] / "examples" / "starter"


def naive_logps(policy, prompt_ids, completion_ids, *, temperature):
    """Score one sequence at a time, without padding, with all logits and a plain log-softmax."""
    ids = torch.tensor([[*prompt_ids, *completion_ids]])
    with torch.no_grad():
        logits = policy.model(input_ids=ids).logits[0].float() / temperature
    logps = torch.log_softmax(logits, -1)
    return [logps[len(prompt_ids) - 1 + t, token].item() for t, token in enumerate(completion_ids)]


@pytest.mark.parametrize("weights", list(TeacherWeights))
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_teacher_logps_match_naive_one_by_one_scoring(weights, temperature):
    policy = tiny_policy(random_adapters=True)
    rollouts = ragged(rollouts_of(policy))
    hinted = solution_contexts(policy, rollouts)
    plan = plan_rollout_batches(rollouts, sequences=range(16), teacher_contexts=[hinted], micro_batch_tokens=300)
    assert len(plan) > 2
    found = teacher_logps(Scorer(policy, plan, weights, temperature), rollouts, hinted)
    lengths = rollouts.lengths_B.tolist()
    for b in range(16):
        completion = rollouts.completion_ids_BT[b, : lengths[b]].tolist()
        with policy.weights(weights):
            expected = naive_logps(policy, hinted[b].ids, completion, temperature=temperature)
        torch.testing.assert_close(found[b, : lengths[b]], torch.tensor(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("teacher", list(TeacherWeights))
def test_with_the_prompt_unchanged_delta_is_exactly_zero(teacher):
    settings = tiny_settings(lam=1.0, teacher=teacher, temperature=0.8)
    policy = tiny_policy(settings, random_adapters=True)
    if teacher is TeacherWeights.BASE:
        for name, parameter in policy.adapter(LIVE_ADAPTER).items():
            if "lora_B" in name:
                torch.nn.init.zeros_(parameter)
    policy.sync_snapshot()
    rollouts = ragged(rollouts_of(policy))
    hinted, plain = solution_contexts(policy, rollouts), rollout_contexts(rollouts)
    plan = plan_rollout_batches(rollouts, sequences=range(16), teacher_contexts=[hinted], micro_batch_tokens=300)
    advantages = torch.randn(16, generator=torch.Generator().manual_seed(0))

    def deltas(reading):
        scored = teacher_logps(Scorer(policy, plan, teacher, settings.temperature), rollouts, reading)
        step_tensors = make_step_tensors(rollouts, advantages, scored)
        return accumulate_gradients(
            policy, TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=1.0), settings=settings
        ).credit

    credit = deltas(plain)
    assert torch.equal(credit.deltas_BT, torch.zeros_like(credit.deltas_BT))
    assert torch.equal(credit.advantages_BT, advantages[:, None].expand_as(rollouts.mask_BT) * rollouts.mask_BT)
    assert deltas(hinted).deltas_BT.abs().max() > 0.05, "with a hint the same code must give a difference"


def test_dropout_applies_to_the_student_and_never_to_the_teacher():
    settings = tiny_settings(lora_dropout=0.5)
    policy = tiny_policy(settings, random_adapters=True)
    rollouts = rollouts_of(policy)
    hinted = solution_contexts(policy, rollouts)
    plan = plan_rollout_batches(rollouts, sequences=range(16), teacher_contexts=[hinted], micro_batch_tokens=9999)
    scorer = Scorer(policy, plan, TeacherWeights.LIVE, 1.0)
    assert torch.equal(teacher_logps(scorer, rollouts, hinted), teacher_logps(scorer, rollouts, hinted))
    plain = teacher_logps(scorer, rollouts, rollout_contexts(rollouts))
    step_tensors = make_step_tensors(rollouts, torch.ones(16), plain)
    update = accumulate_gradients(
        policy, TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.5), settings=settings
    )
    assert (update.logps_BT - plain).abs().max() > 0.01


def test_sampling_with_the_cache_scores_tokens_as_the_full_forward_does():
    policy = tiny_policy(random_adapters=True)
    rollouts = ragged(rollouts_of(policy, tokens=24))
    plan = plan_rollout_batches(rollouts, sequences=range(16), teacher_contexts=[], micro_batch_tokens=500)
    full = teacher_logps(Scorer(policy, plan, TeacherWeights.LIVE, 1.0), rollouts, rollout_contexts(rollouts))
    expected = rollouts.sampling_logps_BT.where(rollouts.mask_BT, 0.0)
    torch.testing.assert_close(full, expected, rtol=0, atol=1e-5)


def starter_update(*, dtype, temperature, eps):
    """Sample from a trained model and update on it, with the ratio clipped to `1 +- eps` and A = 1 for every token."""
    settings = tiny_settings(
        method="grpo", dtype=dtype, temperature=temperature, eps_low=eps, eps_high=eps, micro_batch_tokens=2048
    )
    policy = load_policy(str(STARTER / "model"), settings=settings)
    lines = (STARTER / "held_out.jsonl").read_text().splitlines()[:8]
    tasks = [
        Task(
            row=row,
            messages=tuple(json.loads(line)["messages"]),
            answer=None,
            solution=None,
            trajectory=None,
            privileged=None,
            item={},
        )
        for row, line in enumerate(lines)
    ]
    rollouts = sample_rollouts(
        policy,
        [tiny_prompt_builder(policy).prompt(task) for task in tasks],
        num_generations=8,
        max_completion_tokens=100,
        temperature=temperature,
        generator=torch.Generator().manual_seed(0),
    )
    plan = plan_rollout_batches(rollouts, sequences=range(64), teacher_contexts=[], micro_batch_tokens=2048)
    step_tensors = make_step_tensors(rollouts, torch.ones(64))
    update = accumulate_gradients(
        policy, TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.0), settings=settings
    )
    ratios = (update.logps_BT - rollouts.sampling_logps_BT)[rollouts.mask_BT].exp()
    return update, ratios


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_in_float32_the_policy_ratio_of_a_trained_model_is_one_within_1e_4(temperature):
    """Measured: 7e-6 at most."""
    update, ratios = starter_update(dtype="float32", temperature=temperature, eps=1e-4)
    assert len(ratios) > 1000
    assert (ratios - 1).abs().max() < 1e-4
    assert not update.ratio_clipped_BT.any()
    assert update.loss == pytest.approx(-1, abs=1e-5)


def test_in_bfloat16_the_policy_ratio_measures_the_difference_of_sampling_and_training():
    """Measured: up to 0.04."""
    update, ratios = starter_update(dtype="bfloat16", temperature=1.0, eps=1e-3)
    assert 1e-3 < (ratios - 1).abs().max() < 0.2
    assert update.ratio_clipped_BT.sum() == (ratios > 1 + 1e-3).sum() > 0


def test_sequences_outside_the_plan_have_no_teacher_logps():
    policy = tiny_policy()
    rollouts = ragged(rollouts_of(policy))
    hinted = solution_contexts(policy, rollouts)
    plan = plan_rollout_batches(rollouts, sequences=[2, 5], teacher_contexts=[hinted], micro_batch_tokens=999)
    found = teacher_logps(Scorer(policy, plan, TeacherWeights.BASE, 1.0), rollouts, hinted)
    assert (~found.isnan().any(1)).nonzero().squeeze(1).tolist() == [2, 5]
    assert (~found.isnan().all(1)).nonzero().squeeze(1).tolist() == [2, 5]
