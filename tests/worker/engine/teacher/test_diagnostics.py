"""The passes that only diagnostics need: distance to the start, and the placebo control."""

from collections import Counter

import pytest
import torch

from backend.core.methods import method_named
from tests.worker.engine.tiny import Recorder, tiny_policy, tiny_prompt_builder, tiny_settings, tiny_tasks, vowel_share
from tests.worker.engine.training.test_update import rollouts_of
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.teacher.contexts import make_context_builder
from worker.engine.teacher.diagnostics import diagnosed_sequences
from worker.engine.training.metrics import sampled_share

PASSES = ("kl_to_start", "hint_delta_abs_mean", "placebo_delta_abs_mean")


def trained(settings, *, tasks=None):
    recorder, policy = Recorder(), tiny_policy(settings)
    run(
        Experiment(settings=settings, policy=policy, tasks=tasks or tiny_tasks(7), held_out=[], reward=vowel_share),
        observer=recorder,
        resume=None,
    )
    return recorder.steps, policy


def test_the_distance_to_the_start_is_zero_at_the_start_and_grows_with_training():
    steps, _ = trained(tiny_settings(max_steps=6, learning_rate=3e-2, token_share=1.0))
    distances = [report.metrics["kl_to_start"] for report in steps]
    assert 0 <= distances[0] < 1e-9
    assert distances[-1] > 1e-3
    assert all(distance >= 0 for distance in distances)


def naive_logps(context, ids):
    """Score one sequence alone with the untrained model."""
    model = tiny_policy().model
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*context.ids, *ids]])).logits[0, len(context.ids) - 1 : -1]
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(ids)[:, None]).squeeze(1)


def test_the_distance_to_the_start_is_the_estimate_it_claims_to_be():
    """exp(x) - 1 - x with x = log P_base - log P_sampled, averaged over the sampled tokens."""
    settings = tiny_settings(max_steps=2, learning_rate=3e-2, token_share=1.0, method="grpo", batch_size=2)
    steps, policy = trained(settings)
    prompts = {task.row: tiny_prompt_builder(policy).prompt(task).student for task in tiny_tasks(7)}
    estimates = []
    for rollout in steps[1].rollouts:
        base = naive_logps(prompts[rollout.row], rollout.tokens.ids)
        x = (base - torch.tensor(rollout.tokens.logp_student)).double()
        estimates += (x.exp() - 1 - x).tolist()
    expected = sum(estimates) / len(estimates)
    assert steps[1].metrics["kl_to_start"] == pytest.approx(expected, rel=1e-3)
    assert expected > 1e-5


def test_the_placebos_delta_is_the_teachers_with_another_rows_hint():
    settings = tiny_settings(max_steps=1, token_share=1.0, learning_rate=1e-12, batch_size=2)
    (report,), policy = trained(settings)
    builder = make_context_builder(
        tiny_tasks(7), prompt_builder=tiny_prompt_builder(policy), method=method_named("rlsd"), settings=settings
    )
    deltas = []
    for rollout in report.rollouts:
        placebo = naive_logps(builder.placebos[rollout.row], rollout.tokens.ids)
        deltas += (placebo - torch.tensor(rollout.tokens.logp_student)).abs().tolist()
    assert report.metrics["placebo_delta_abs_mean"] == pytest.approx(sum(deltas) / len(deltas), abs=1e-4)
    assert abs(report.metrics["placebo_delta_abs_mean"] - report.metrics["hint_delta_abs_mean"]) > 2e-4


def test_the_hints_delta_is_the_one_that_credit_was_given_by():
    settings = tiny_settings(max_steps=1, token_share=1.0, learning_rate=1e-12, batch_size=2)
    report = trained(settings)[0][0]
    deltas = [
        abs(t - s)
        for rollout in report.rollouts
        for s, t in zip(rollout.tokens.logp_student, rollout.tokens.logp_teacher, strict=True)
    ]
    assert report.metrics["hint_delta_abs_mean"] == pytest.approx(sum(deltas) / len(deltas), abs=1e-4)


def test_diagnostics_run_at_their_interval_and_never_where_they_are_off():
    steps, _ = trained(tiny_settings(max_steps=5, diagnostic_interval=2))
    assert [set(PASSES) <= report.metrics.keys() for report in steps] == [True, False, True, False, True]
    steps, _ = trained(tiny_settings(max_steps=2, diagnostic_interval=0))
    assert not any(set(PASSES) & report.metrics.keys() for report in steps)


def test_whose_tokens_are_kept_does_not_change_what_is_measured():
    none, some, all_of_them = (trained(tiny_settings(max_steps=2, token_share=share))[0] for share in (0.0, 0.25, 1.0))
    assert not any(rollout.tokens for report in none for rollout in report.rollouts)
    for few, quarter, everything in zip(none, some, all_of_them, strict=True):
        first, *others = ({name: report.metrics[name] for name in PASSES} for report in (few, quarter, everything))
        assert others == [first, first]


@pytest.mark.parametrize(("prompts", "samples", "whole"), [(5, 4, 2), (5, 8, 1), (3, 16, 0), (10, 2, 4), (1, 4, 1)])
def test_eight_sequences_in_whole_groups_are_looked_at_where_the_step_has_as_many(prompts, samples, whole):
    rollouts = rollouts_of(tiny_policy(), prompts=prompts, samples=samples, tokens=2)
    seen = set()
    for seed in range(20):
        chosen = diagnosed_sequences(rollouts, generator=torch.Generator().manual_seed(seed))
        assert len(set(chosen)) == len(chosen) == min(8, prompts * samples)
        groups = [sum(b // samples == group for b in chosen) for group in range(prompts)]
        assert groups.count(samples) == whole
        seen |= set(chosen)
    assert {b // samples for b in seen} == set(range(prompts)), "chosen at random"


def test_a_teacher_that_has_fallen_silent_is_held_against_no_placebo():
    steps, _ = trained(tiny_settings(max_steps=4, lambda_decay_steps=2))
    assert ["placebo_delta_abs_mean" in report.metrics for report in steps] == [True, True, False, False]
    assert all("kl_to_start" in report.metrics for report in steps)


@pytest.mark.parametrize(
    ("share", "least", "count"), [(0.0, 4, 4), (0.25, 4, 4), (0.5, 4, 6), (1.0, 4, 12), (0.0, 0, 0), (0.01, 1, 1)]
)
def test_a_share_is_rounded_and_never_smaller_than_the_least(share, least, count):
    generator = torch.Generator().manual_seed(3)
    assert len(set(sampled_share(12, share=share, least=least, generator=generator))) == count
    assert sampled_share(2, share=share, least=4, generator=generator) == [0, 1]


@pytest.mark.parametrize("method", ["grpo", "rlsd", "opsd"])
def test_diagnostics_change_nothing_in_the_run(method):
    found = []
    for interval in (0, 1):
        settings = tiny_settings(method=method, max_steps=3, diagnostic_interval=interval, lora_dropout=0.1)
        _, policy = trained(settings)
        found.append({name: value.detach().clone() for name, value in policy.adapter(LIVE_ADAPTER).items()})
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_a_method_without_a_hint_has_no_placebo_but_a_distance():
    for changes in ({"method": "grpo"}, {"hint": "empty"}):
        metrics = trained(tiny_settings(max_steps=1, **changes))[0][0].metrics
        assert "kl_to_start" in metrics
        assert "placebo_delta_abs_mean" not in metrics


@pytest.mark.parametrize("method", ["sdpo", "rlcsd"])
def test_a_sibling_is_held_against_another_rows_sibling(method):
    settings = tiny_settings(method=method, hint="sibling", max_steps=1, success_above=0.2)
    metrics = trained(settings)[0][0].metrics
    assert metrics["hint_delta_abs_mean"] > 0
    assert metrics["placebo_delta_abs_mean"] > 0
    assert metrics["hint_delta_abs_mean"] != metrics["placebo_delta_abs_mean"]


@pytest.mark.parametrize(
    ("prompts", "samples", "share"), [(8, 8, 0.25), (8, 3, 0.25), (4, 4, 0.3), (5, 4, 0.99), (3, 6, 0.1)]
)
def test_no_group_goes_without_token_credit_while_another_has_several(prompts, samples, share):
    seen = Counter()
    for seed in range(400):
        generator = torch.Generator().manual_seed(seed)
        kept = sampled_share(prompts * samples, share=share, least=1, generator=generator)
        assert len(set(kept)) == len(kept) == round(share * prompts * samples)
        by_group = [sum(b // samples == group for b in kept) for group in range(prompts)]
        assert max(by_group) - min(by_group) <= 1
        seen.update(kept)
    assert seen.keys() == set(range(prompts * samples)), "chosen at random"
    assert min(seen.values()) > 0.5 * max(seen.values()), "each as likely as any other"
