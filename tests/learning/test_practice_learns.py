"""Where no completion is ever right, practice with a hint learns, and what it learns stays without the hint."""

from dataclasses import replace

import pytest
import torch

from tests.worker.engine.tiny import Recorder, Verdict, tiny_model, tiny_settings, tiny_tasks, tiny_tokenizer
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model.policy_loading import build_policy

pytestmark = pytest.mark.training

WIDTH, LEAN = 64, 2.0


def context_leaning_policy(settings):
    """Return a policy whose attention adds the mean of all earlier tokens, so that it leans to what its prompt says."""
    model = tiny_model(hidden=WIDTH, kv_heads=4)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.zero_()
            layer.self_attn.v_proj.weight.copy_(LEAN * torch.eye(WIDTH))
            layer.self_attn.o_proj.weight.copy_(torch.eye(WIDTH))
    return build_policy(model, tokenizer=tiny_tokenizer(), settings=settings)


def half_digits(completions):
    """Score 1 for at least six digits in eight tokens, which a random model does not write."""
    return [Verdict(float(sum(c.isdigit() for c in done.text) >= 6)) for done in completions]


def tasks(count, *, first_row):
    """Return rows whose solution is full of digits, and whose trajectory has one or two."""
    return [replace(task, solution="7" * 30) for task in tiny_tasks(count, first_row=first_row)]


def learned(practice):
    """What is seen of a run of 30 steps."""
    settings = tiny_settings(
        method="grpo",
        max_steps=30,
        batch_size=8,
        num_generations=8,
        eval_samples=8,
        learning_rate=5e-3,
        lora_r=8,
        token_share=0.0,
        diagnostic_interval=0,
        practice=practice,
    )
    recorder = Recorder()
    run(
        Experiment(
            settings=settings,
            policy=context_leaning_policy(settings),
            tasks=tasks(16, first_row=1),
            held_out=tasks(16, first_row=100),
            reward=half_digits,
        ),
        observer=recorder,
        resume=None,
    )
    return recorder


def test_practice_learns_what_is_never_right_without_a_hint_and_keeps_it_without_one():
    recorder = learned({"hint": "solution"})
    first, *_, last = [report.metrics for report in recorder.steps]
    assert first["groups_all_wrong"] == 1
    assert first["practice_groups"] == 8
    assert first["practice_right"] > first["practice_right_before"] == 0
    assert last["reward_mean"] > 0.9
    assert last["practice_groups"] == 0, "the model no longer needs it"
    baseline, trained = recorder.evaluations
    assert baseline.mean == 0
    assert trained.low > 0.9


@pytest.mark.parametrize("practice", [None, {"hint": "trajectory"}], ids=["grpo", "a hint that does not help"])
def test_without_practice_or_a_hint_that_helps_nothing_is_learned(practice):
    recorder = learned(practice)
    assert {report.metrics["groups_all_wrong"] for report in recorder.steps} == {1}
    assert [evaluation.mean for evaluation in recorder.evaluations] == [0, 0]
