"""Whole runs: what they compute, skip and report."""

import dataclasses
import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load

from tests.worker.engine.tiny import (
    Recorder,
    Verdict,
    tiny_model,
    tiny_policy,
    tiny_settings,
    tiny_tokenizer,
    vowel_share,
)
from tests.worker.engine.whole_runs import HELD_OUT, TASKS, adapter, equal, train
from worker.engine.model.policy import SNAPSHOT_ADAPTER
from worker.engine.model.policy_loading import build_policy
from worker.engine.seeds import batch_indices
from worker.engine.types import Ending


def test_a_run_reports_every_step_the_evaluations_and_its_checkpoints():
    ending, recorder, _ = train(tiny_settings(max_steps=5, eval_interval=2, checkpoint_interval=2))
    assert ending is Ending.DONE
    assert [report.step for report in recorder.steps] == [1, 2, 3, 4, 5]
    assert [(e.step, e.phase) for e in recorder.evaluations] == [
        (0, "baseline"),
        (2, "interim"),
        (4, "interim"),
        (5, "trained"),
    ]
    assert [checkpoint.step for checkpoint in recorder.checkpoints] == [0, 2, 4, 5]
    assert [checkpoint.score for checkpoint in recorder.checkpoints] == [e.mean for e in recorder.evaluations]
    baseline, trained = recorder.evaluations[0], recorder.evaluations[-1]
    assert baseline.p_value is None
    assert baseline.difference is None
    assert trained.difference["mean"] == pytest.approx(trained.mean - baseline.mean)
    assert 0 <= trained.p_value <= 1
    assert [question["row"] for question in trained.per_question] == [50, 51, 52, 53]
    assert (trained.n, trained.k) == (4, 2)
    assert (trained.completions, trained.unscored, trained.left_out) == (8, 0, "")


def test_an_evaluation_says_how_many_completions_had_no_score():
    def every_other(completions):
        return [Verdict(None, "abstain") if n % 2 else Verdict(1.0 / (1 + n)) for n in range(len(completions))]

    _, recorder, _ = train(tiny_settings(max_steps=1, eval_interval=1), reward=every_other)
    baseline = recorder.evaluations[0]
    assert sum(question["scores"].count(None) for question in baseline.per_question) == 4
    assert (baseline.n, baseline.completions, baseline.unscored) == (4, 8, 4)
    assert baseline.left_out == "; 4 of 8 samples had no score"


def test_a_step_reports_its_rollouts_and_the_numbers_of_a_share_of_their_tokens():
    settings = tiny_settings(max_steps=1, token_share=0.5, max_completion_tokens=30, micro_batch_tokens=60)
    model = tiny_model()
    model.generation_config.eos_token_id = list(range(100, 112))  # so that completions end at many places
    policy = build_policy(model, tokenizer=tiny_tokenizer(), settings=settings)
    _, recorder, _ = train(settings, policy=policy)
    (report,) = recorder.steps
    expected_rows = [TASKS[i].row for i in batch_indices(1, seed=settings.seed, batch_size=3, num_rows=7)]
    assert [rollout.row for rollout in report.rollouts] == [row for row in expected_rows for _ in range(4)]
    assert [rollout.sample for rollout in report.rollouts] == [0, 1, 2, 3] * 3
    detailed = [rollout for rollout in report.rollouts if rollout.tokens]
    assert len(detailed) == 6
    assert len({len(rollout.tokens.ids) for rollout in detailed}) > 3
    for rollout in detailed:
        tokens = rollout.tokens
        written = tokens.ids if rollout.truncated else tokens.ids[:-1]
        assert policy.decoder.text(written) == rollout.completion
        weights = torch.tensor(tokens.logp_teacher).sub(torch.tensor(tokens.logp_student))
        weights = (weights * torch.tensor(rollout.advantage).sign()).exp().clamp(0.8, 1.2)
        torch.testing.assert_close(torch.tensor(tokens.weight), weights)
        mixed = rollout.advantage * (0.5 + 0.5 * weights)
        torch.testing.assert_close(torch.tensor(tokens.advantage), mixed)
        assert len(tokens.ids) == len(tokens.text)
        assert "".join(tokens.text) == rollout.completion


def test_without_a_hint_the_teachers_numbers_are_left_out_so_that_every_report_is_valid_json():
    settings = tiny_settings(method="cepo", max_steps=2, token_share=1.0, success_above=0.3)
    _, recorder, _ = train(settings)
    reports = [rollout.tokens for step in recorder.steps for rollout in step.rollouts]
    assert any(tokens.logp_teacher is None for tokens in reports)
    assert any(tokens.logp_teacher is not None for tokens in reports)
    json.dumps([dataclasses.asdict(tokens) for tokens in reports], allow_nan=False)


@pytest.mark.parametrize("changes", [{"method": "cepo"}, {"method": "rlsd_template"}, {"method": "rlsd"}])
def test_the_weights_of_a_report_follow_from_its_deltas(changes):
    """`delta_t` is the log-ratio that the method uses: against the contrast, where it has one."""
    settings = tiny_settings(**changes, max_steps=2, token_share=1.0, success_above=0.3, micro_batch_tokens=60)
    _, recorder, _ = train(settings, held_out=[])
    with_delta = 0
    for rollout in (rollout for step in recorder.steps for rollout in step.rollouts):
        tokens = rollout.tokens
        assert (tokens.delta is None) == (tokens.logp_teacher is None)
        if tokens.delta is not None:
            with_delta += 1
            below = tokens.logp_student if settings.method == "rlsd" else tokens.logp_contrast
            assert tokens.delta == pytest.approx([a - b for a, b in zip(tokens.logp_teacher, below, strict=True)])
            sign = (rollout.advantage > 0) - (rollout.advantage < 0)
            assert tokens.weight == pytest.approx([min(max(math.exp(sign * d), 0.8), 1.2) for d in tokens.delta])
    assert with_delta > 4
    assert len({weight for r in recorder.steps[0].rollouts for weight in r.tokens.weight}) > 4


def test_a_step_reports_the_specified_metrics():
    _, recorder, _ = train(tiny_settings(max_steps=1))
    metrics = recorder.steps[0].metrics
    assert metrics["reward_mean"] == pytest.approx(
        sum(rollout.record.score for rollout in recorder.steps[0].rollouts) / 12
    )
    assert metrics.keys() >= {
        "reward_std", "groups_all_right", "groups_all_wrong", "groups_mixed", "abstained", "errored", "timed_out",
        "truncated", "completion_tokens_mean", "entropy", "kl_to_start", "lambda", "delta_mean_positive",
        "delta_mean_negative", "weight_mean_positive", "weight_mean_negative", "clipped_low", "clipped_high",
        "delta_sum_right", "delta_sum_wrong", "gradient_norm", "learning_rate", "ratio_clipped", "rollout_s",
        "reward_s", "teacher_s", "update_s", "rollout_tokens", "teacher_tokens", "update_tokens", "peak_memory_bytes",
    }  # fmt: skip
    assert metrics["rollout_logp_gap_mean"] < 1e-5
    assert metrics["kl_to_start"] < 1e-5


def test_lambda_zero_is_bit_identical_to_grpo_and_runs_no_teacher():
    _, rlsd, first = train(tiny_settings(lam=0.0))
    _, grpo, second = train(tiny_settings(method="grpo", lam=0.5))
    assert equal(adapter(first), adapter(second))
    assert {report.metrics["teacher_tokens"] for report in [*rlsd.steps, *grpo.steps]} == {0.0}
    _, _, hinted = train(tiny_settings(lam=0.5))
    assert not equal(adapter(first), adapter(hinted))


def test_no_teacher_runs_once_lambda_has_decayed_to_zero():
    _, recorder, _ = train(tiny_settings(lambda_decay_steps=2, max_steps=4))
    assert [report.metrics["lambda"] for report in recorder.steps] == [0.5, 0.25, 0.0, 0.0]
    assert [report.metrics["teacher_tokens"] > 0 for report in recorder.steps] == [True, True, False, False]


def test_dead_groups_are_skipped_by_teacher_and_student():
    def only_row_1_varies(completions):
        return [
            Verdict(float(index % 2) if completion.task.row == 1 else 1.0)
            for index, completion in enumerate(completions)
        ]

    settings = tiny_settings(max_steps=1, batch_size=7)
    _, recorder, _ = train(settings, reward=only_row_1_varies, held_out=[])
    metrics = recorder.steps[0].metrics
    _, everything, _ = train(settings, held_out=[])
    assert metrics["groups_all_right"] == pytest.approx(6 / 7)
    assert metrics["groups_mixed"] == pytest.approx(1 / 7)
    assert metrics["skipped"] == pytest.approx(6 / 7)
    assert metrics["update_tokens"] < everything.steps[0].metrics["update_tokens"] / 5
    assert metrics["teacher_tokens"] < everything.steps[0].metrics["teacher_tokens"] / 5


@pytest.mark.parametrize("method", ["grpo", "opsd"])
def test_a_step_of_nothing_but_truncated_completions_learns_nothing_where_they_are_masked(method):
    settings = tiny_settings(method=method, max_completion_tokens=2, max_steps=1)
    for mask_truncated in (False, True):
        _, recorder, _ = train(settings.model_copy(update={"mask_truncated": mask_truncated}))
        [report] = recorder.steps
        assert report.metrics["truncated"] == 1
        assert (report.metrics["gradient_norm"] == 0) == mask_truncated
        assert (report.metrics["skipped"] == 1) == mask_truncated


def test_a_kl_penalty_trains_also_on_groups_without_signal_and_costs_a_pass_of_the_base_model():
    settings = tiny_settings(method="grpo", max_steps=2)
    for beta in (0.0, 0.5):
        _, recorder, _ = train(settings.model_copy(update={"kl_beta": beta}), reward=lambda c: [Verdict(1.0)] * len(c))
        metrics = recorder.steps[-1].metrics
        assert metrics["skipped"] == (beta == 0)
        assert (metrics["update_tokens"] > 0) == ("kl" in metrics) == (beta > 0)


def test_the_snapshot_is_updated_every_k_steps_and_constant_in_between():
    settings = tiny_settings(teacher_sync_steps=2, max_steps=4, checkpoint_interval=1)
    _, recorder, policy = train(settings)
    states = {checkpoint.step: load(checkpoint.data) for checkpoint in recorder.checkpoints}

    def part(step, kind):
        return {k.removeprefix(kind): v for k, v in states[step].items() if k.startswith(kind)}

    assert equal(part(0, "snapshot."), part(0, "adapter."))
    assert equal(part(1, "snapshot."), part(0, "snapshot."))
    assert equal(part(2, "snapshot."), part(2, "adapter."))
    assert equal(part(3, "snapshot."), part(2, "snapshot."))
    assert not equal(part(3, "adapter."), part(2, "adapter."))
    assert equal(adapter(policy, SNAPSHOT_ADAPTER), adapter(policy))


def test_completions_without_a_score_are_left_out_of_the_statistics_and_counted():
    def flaky(completions):
        verdicts = vowel_share(completions)
        verdicts[0] = Verdict(None, "error", "ZeroDivisionError")
        verdicts[1] = Verdict(None, "timeout", "2 s")
        verdicts[2] = Verdict(None, "abstain", "unsure")
        return verdicts

    ending, recorder, _ = train(tiny_settings(max_steps=1), reward=flaky, held_out=[])
    metrics = recorder.steps[0].metrics
    assert ending is Ending.DONE
    assert [metrics[name] for name in ("errored", "timed_out", "abstained")] == [1 / 12] * 3
    assert [rollout.advantage for rollout in recorder.steps[0].rollouts[:3]] == [0.0] * 3
    assert recorder.steps[0].rollouts[0].record.reason == "ZeroDivisionError"


def test_a_broken_verifier_ends_the_run_before_the_update():
    calls = []

    def breaks_after_two(completions):
        calls.append(len(completions))
        if len(calls) <= 2:
            return vowel_share(completions)
        return [Verdict(None, "error", "KeyError: 'x'") for _ in completions]

    settings = tiny_settings(max_error_share=0.5, checkpoint_interval=100)
    ending, recorder, _ = train(settings, reward=breaks_after_two)
    assert ending is Ending.VERIFIER_FAULTS
    assert [report.step for report in recorder.steps] == [1]
    ((level, code, message),) = recorder.events
    assert (level, code) == ("error", "verifier_faults")
    assert "100%" in message
    assert "KeyError: 'x'" in message
    assert recorder.checkpoints[-1].step == 1
    ending, resumed, _ = train(settings, resume=recorder.checkpoints[-1].data)
    assert ending is Ending.DONE
    _, whole, _ = train(settings)
    assert resumed.checkpoints[-1].data == whole.checkpoints[-1].data


@pytest.mark.parametrize(
    "verdict", [Verdict(None), *(Verdict(float(text)) for text in ("nan", "inf", "1e7", "-1e300"))]
)
def test_a_score_that_is_no_number_of_bounded_size_raises(verdict):
    with pytest.raises(ValueError, match="status ok with the score"):
        train(tiny_settings(), reward=lambda completions: [verdict] * len(completions))


def test_a_reward_that_returns_too_few_scores_raises():
    with pytest.raises(ValueError, match="1 scores for 8"):
        train(tiny_settings(), reward=lambda completions: [Verdict(1.0)])


def test_a_missing_hint_is_refused_before_any_computation():
    tasks = [*TASKS[:3], replace(TASKS[3], solution=None)]
    settings, recorder = tiny_settings(hint="solution"), Recorder()
    with pytest.raises(ValueError, match="row 4 has no solution"):
        train(settings, tasks=tasks, recorder=recorder)
    assert not recorder.evaluations
    assert train(settings.model_copy(update={"lam": 0.0, "max_steps": 1}), tasks=tasks)[0] is Ending.DONE


def test_neither_reward_nor_evaluation_ever_sees_the_hint():
    texts, secret = [], "SECRETWORD"
    tasks = [replace(task, answer=secret) for task in TASKS]

    def watch(completions):
        texts.extend(completion.text for completion in completions)
        return vowel_share(completions)

    held_out = [replace(task, answer=None, solution=None) for task in HELD_OUT]
    ending, _, _ = train(tiny_settings(), tasks=tasks, held_out=held_out, reward=watch)
    assert ending is Ending.DONE, "held-out rows need no hint"
    assert texts
    assert not any(secret in text for text in texts)


def test_no_tasks_an_unknown_method_and_a_checkpoint_of_another_model_are_refused():
    with pytest.raises(ValueError, match="no tasks"):
        train(tiny_settings(), tasks=[])
    with pytest.raises(ValueError, match="method"):
        tiny_settings(method="dpo")
    _, recorder, _ = train(tiny_settings(max_steps=1), policy=tiny_policy(tiny_settings(), layers=3))
    with pytest.raises(ValueError, match="another model"):
        train(tiny_settings(), resume=recorder.checkpoints[-1].data)


def test_every_row_is_trained_on_once_per_epoch_in_a_new_order():
    epochs = [
        [index for step in range(1, 15) for index in batch_indices(step, seed=1, batch_size=5, num_rows=7)][i : i + 7]
        for i in range(0, 70, 7)
    ]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 5
    assert batch_indices(3, seed=1, batch_size=5, num_rows=7) != batch_indices(3, seed=2, batch_size=5, num_rows=7)
