"""Gradients of a whole step: independent of micro-batches and skipped sequences, and equal to TRL's."""

from dataclasses import replace

import pytest
import torch

from backend.core.settings.choices import TeacherWeights
from tests.worker.engine.tiny import (
    make_step_tensors,
    rollout_contexts,
    sample_rollouts,
    solution_contexts,
    tiny_policy,
    tiny_prompts,
    tiny_settings,
    tiny_tokenizer,
)
from worker.engine.faults import Fault
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.rollouts.logprobs import MicroBatch, plan_rollout_batches
from worker.engine.teacher.signals import Scorer, teacher_logps
from worker.engine.training.optimizer import make_optimizer
from worker.engine.training.update import TrainBatch, accumulate_gradients, update_policy


def rollouts_of(policy, *, prompts=4, samples=4, tokens=12, temperature=1.0):
    return sample_rollouts(
        policy,
        tiny_prompts(policy, prompts),
        num_generations=samples,
        max_completion_tokens=tokens,
        temperature=temperature,
        generator=torch.Generator().manual_seed(3),
    )


def ragged(rollouts):
    """Truncate the rollouts to very different lengths, as from trained models."""
    lengths = torch.arange(rollouts.num_sequences) % rollouts.mask_BT.shape[1] + 1
    mask = rollouts.mask_BT & (torch.arange(rollouts.mask_BT.shape[1])[None] < lengths[:, None])
    return replace(rollouts, mask_BT=mask)


def off_policy_rollouts(rollouts):
    """Change the sampling log-probabilities as if from another policy: ratios far beyond the clips on both sides."""
    noise = 0.4 * torch.randn(rollouts.mask_BT.shape, generator=torch.Generator().manual_seed(2))
    return replace(rollouts, sampling_logps_BT=rollouts.sampling_logps_BT + noise)


def split_into_batches(sequences, *, size, rollouts):
    lengths = rollouts.lengths_B
    return [
        MicroBatch(torch.tensor(sequences[i : i + size]), int(lengths[sequences[i : i + size]].max()))
        for i in range(0, len(sequences), size)
    ]


def gradients(policy):
    return {name: parameter.grad.clone() for name, parameter in policy.adapter(LIVE_ADAPTER).items()}


def advantages_of(rollouts):
    return torch.randn(rollouts.num_sequences, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("loss", ["token_mean", "sequence_mean"])
def test_the_gradient_does_not_depend_on_the_micro_batches_in_float64(loss):
    settings = tiny_settings(loss=loss, normalise=True, first_error=True, eps_w=(0.8, 4.0))
    policy = tiny_policy(settings, random_adapters=True)
    rollouts = off_policy_rollouts(ragged(rollouts_of(policy)))
    policy.model.double()
    advantages, everything = advantages_of(rollouts).double(), list(range(16))
    contexts = solution_contexts(policy, rollouts)
    plans = [
        split_into_batches(everything, size=16, rollouts=rollouts),
        split_into_batches(everything, size=4, rollouts=rollouts),
        split_into_batches(everything[::-1], size=5, rollouts=rollouts),
        plan_rollout_batches(rollouts, sequences=everything, teacher_contexts=[contexts], micro_batch_tokens=150),
    ]
    found, losses, clipped = [], [], []
    for plan in plans:
        hinted = teacher_logps(Scorer(policy, plan, TeacherWeights.SNAPSHOT, 1.0), rollouts, contexts)
        step_tensors = make_step_tensors(rollouts, advantages, hinted)
        update = accumulate_gradients(
            policy, TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.7), settings=settings
        )
        losses.append(update.loss)
        found.append(gradients(policy))
        clipped.append(update.ratio_clipped_BT)
    assert len(plans[3]) > 4
    assert clipped[0].any()
    assert all(torch.equal(other, clipped[0]) for other in clipped)
    assert any(gradient.abs().max() > 1e-3 for gradient in found[0].values())
    for other, loss_value in zip(found[1:], losses[1:], strict=True):
        assert loss_value == pytest.approx(losses[0], abs=1e-12)
        for name, gradient in found[0].items():
            torch.testing.assert_close(other[name], gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", ["token_mean", "sequence_mean"])
def test_skipping_sequences_without_an_advantage_does_not_change_the_gradient(loss):
    settings = tiny_settings(method="grpo", loss=loss)
    policy = tiny_policy(settings, random_adapters=True)
    rollouts = off_policy_rollouts(ragged(rollouts_of(policy)))
    policy.model.double()
    advantages = advantages_of(rollouts).double()
    advantages[4:12] = 0
    live = advantages.nonzero().squeeze(1).tolist()
    whole = split_into_batches(list(range(16)), size=16, rollouts=rollouts)
    accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=make_step_tensors(rollouts, advantages), plan=whole, lam=0.0),
        settings=settings,
    )
    expected = gradients(policy)
    skipped = split_into_batches(live, size=16, rollouts=rollouts)
    accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=make_step_tensors(rollouts, advantages), plan=skipped, lam=0.0),
        settings=settings,
    )
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-14)


def test_a_step_without_any_advantage_has_gradient_zero_and_still_counts():
    settings = tiny_settings()
    policy = tiny_policy(settings)
    rollouts = rollouts_of(policy)
    optimizer = make_optimizer(policy, settings=settings)
    step_tensors = make_step_tensors(rollouts, torch.zeros(16))
    update = update_policy(
        policy,
        optimizer,
        TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=[], lam=0.5),
        step=1,
        settings=settings,
    )
    assert update.gradient_norm == 0
    assert update.num_tokens == 0
    assert {int(state["step"]) for state in optimizer.state.values()} == {1}


def test_a_gradient_that_is_not_finite_changes_no_weights():
    settings = tiny_settings(method="grpo")
    policy = tiny_policy(settings)
    rollouts = rollouts_of(policy)
    before = {name: value.detach().clone() for name, value in policy.adapter(LIVE_ADAPTER).items()}
    plan = split_into_batches(list(range(16)), size=16, rollouts=rollouts)
    with pytest.raises(Fault, match="step 3"):
        update_policy(
            policy,
            make_optimizer(policy, settings=settings),
            TrainBatch(
                rollouts=rollouts,
                step_tensors=make_step_tensors(rollouts, torch.full((16,), torch.inf)),
                plan=plan,
                lam=0.0,
            ),
            step=3,
            settings=settings,
        )
    assert all(torch.equal(value, before[name]) for name, value in policy.adapter(LIVE_ADAPTER).items())


def trl_trainer(policy, tmp_path, *, loss, temperature, beta=0.0):
    from datasets import Dataset  # here, since each process imports all test modules
    from trl import GRPOConfig, GRPOTrainer

    args = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=16,
        num_generations=4,
        gradient_accumulation_steps=1,
        loss_type={"token_mean": "bnpo", "sequence_mean": "grpo"}[loss],
        temperature=temperature,
        epsilon=0.2,
        epsilon_high=0.28,
        beta=beta,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to=[],
        scale_rewards="group",
    )
    trainer = GRPOTrainer(
        model=policy.model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=args,
        train_dataset=Dataset.from_dict({"prompt": ["x"] * 16}),
        processing_class=tiny_tokenizer(),
    )
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def trl_inputs(rollouts, advantages, *, pad_id):
    """Convert the batch to TRL's format, including the log-probabilities at sampling."""
    prompts = [context.ids for context in rollout_contexts(rollouts)]
    longest = max(map(len, prompts))
    return {
        "prompt_ids": torch.tensor([[pad_id] * (longest - len(ids)) + list(ids) for ids in prompts]),
        "prompt_mask": torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]),
        "completion_ids": rollouts.completion_ids_BT,
        "completion_mask": rollouts.mask_BT.long(),
        "advantages": advantages,
        "old_per_token_logps": rollouts.sampling_logps_BT,
        "num_items_in_batch": rollouts.mask_BT.sum(),
    }


@pytest.mark.parametrize("off_policy", [False, True])
@pytest.mark.parametrize(("loss", "temperature"), [("token_mean", 1.0), ("sequence_mean", 0.7)])
def test_at_lambda_zero_loss_gradients_and_clip_share_match_trl(tmp_path, loss, temperature, off_policy):
    settings = tiny_settings(loss=loss, temperature=temperature, dual_clip=99.0)  # TRL has none
    policy = tiny_policy(settings, random_adapters=True)
    rollouts = ragged(rollouts_of(policy, temperature=temperature))
    rollouts = off_policy_rollouts(rollouts) if off_policy else rollouts
    advantages = advantages_of(rollouts)
    advantages[4:8] = 0  # skipped by us, not by TRL, and counted by both
    live = advantages.nonzero().squeeze(1).tolist()
    plan = plan_rollout_batches(rollouts, sequences=live, teacher_contexts=[], micro_batch_tokens=120)
    assert len(plan) > 2
    ours = accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=make_step_tensors(rollouts, advantages), plan=plan, lam=0.0),
        settings=settings,
    )
    found = gradients(policy)

    trainer = trl_trainer(policy, tmp_path, loss=loss, temperature=temperature)
    trainer.model.train()
    policy.model.zero_grad()
    theirs = trainer._compute_loss(trainer.model, trl_inputs(rollouts, advantages, pad_id=policy.pad_id))
    theirs.backward()
    assert ours.loss == pytest.approx(theirs.item(), abs=1e-6)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    assert max(gradient.abs().max() for gradient in found.values()) > 1e-2
    clip_share = (ours.ratio_clipped_BT.sum() / rollouts.mask_BT.sum()).item()
    assert clip_share == pytest.approx(trainer._metrics["train"]["clip_ratio/region_mean"][-1])
    assert (clip_share > 0.05) == off_policy


@pytest.mark.parametrize("loss", ["token_mean", "sequence_mean"])
def test_without_truncated_completions_loss_and_gradients_match_trl(tmp_path, loss):
    settings = tiny_settings(method="grpo", loss=loss, dual_clip=99.0, mask_truncated=True)
    policy = tiny_policy(settings, random_adapters=True)
    rollouts = off_policy_rollouts(ragged(rollouts_of(policy)))
    rollouts = replace(rollouts, truncated_B=torch.arange(16) % 3 == 0)
    advantages, ended = advantages_of(rollouts), (~rollouts.truncated_B).nonzero().squeeze(1).tolist()
    plan = plan_rollout_batches(rollouts, sequences=ended, teacher_contexts=[], micro_batch_tokens=120)
    ours = accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=make_step_tensors(rollouts, advantages), plan=plan, lam=0.0),
        settings=settings,
    )
    found = gradients(policy)

    trainer = trl_trainer(policy, tmp_path, loss=loss, temperature=1.0)
    trainer.model.train()
    policy.model.zero_grad()
    inputs = trl_inputs(rollouts, advantages, pad_id=policy.pad_id)
    inputs["completion_mask"] *= ~rollouts.truncated_B[:, None]  # as its mask_truncated_completions does
    theirs = trainer._compute_loss(trainer.model, inputs)
    theirs.backward()
    assert ours.loss == pytest.approx(theirs.item(), abs=1e-6)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    assert max(gradient.abs().max() for gradient in found.values()) > 1e-2


@pytest.mark.parametrize(("loss", "temperature"), [("token_mean", 1.0), ("sequence_mean", 0.7)])
def test_with_a_kl_penalty_loss_gradients_and_kl_match_trl(tmp_path, loss, temperature):
    settings = tiny_settings(method="grpo", loss=loss, temperature=temperature, dual_clip=99.0, kl_beta=0.5)
    policy = tiny_policy(settings, random_adapters=True)
    rollouts = off_policy_rollouts(ragged(rollouts_of(policy, temperature=temperature)))
    advantages, every = advantages_of(rollouts), list(range(16))
    advantages[4:8] = 0  # drawn to the base model all the same
    plan = plan_rollout_batches(rollouts, sequences=every, teacher_contexts=[], micro_batch_tokens=120)
    ours = accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=make_step_tensors(rollouts, advantages), plan=plan, lam=0.0),
        settings=settings,
    )
    found = gradients(policy)

    trainer = trl_trainer(policy, tmp_path, loss=loss, temperature=temperature, beta=0.5)
    inputs = trl_inputs(rollouts, advantages, pad_id=policy.pad_id)
    scorer = Scorer(policy, plan, TeacherWeights.BASE, temperature)
    inputs["ref_per_token_logps"] = teacher_logps(scorer, rollouts, tuple(rollout_contexts(rollouts)))
    trainer.model.train()
    policy.model.zero_grad()
    theirs = trainer._compute_loss(trainer.model, inputs)
    theirs.backward()
    assert ours.loss == pytest.approx(theirs.item(), abs=1e-6)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    kl = ours.kl_BT[rollouts.mask_BT].mean().item()
    assert kl == pytest.approx(trainer._metrics["train"]["kl"][-1], rel=1e-4)
    assert kl > 1e-3


def test_the_dual_clip_zeroes_the_gradient_of_far_likelier_tokens_with_a_negative_advantage():
    settings = tiny_settings(method="grpo", dual_clip=3.0)
    policy = tiny_policy(settings, random_adapters=True)
    rollouts = rollouts_of(policy)
    rollouts = replace(rollouts, sampling_logps_BT=rollouts.sampling_logps_BT - 2.0)  # rho = 7.4
    plan = split_into_batches(list(range(16)), size=16, rollouts=rollouts)
    update = accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=make_step_tensors(rollouts, -torch.ones(16)), plan=plan, lam=0.0),
        settings=settings,
    )
    assert update.loss == pytest.approx(3.0)
    assert update.gradient_norm == 0
    accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=make_step_tensors(rollouts, -torch.ones(16)), plan=plan, lam=0.0),
        settings=settings.model_copy(update={"dual_clip": 9.0}),
    )
    assert max(gradient.abs().max() for gradient in gradients(policy).values()) > 1e-2
