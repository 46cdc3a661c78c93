"""A small model really gets better at something, by every method and preset there is."""

import pytest

from tests.worker.engine.tiny import Recorder, Verdict, tiny_policy, tiny_settings, tiny_tasks
from worker.engine.loop import run

PAPER = {"lam": 0.5, "lambda_decay_steps": 25, "eps_w": (0.2, 0.2)}
STEADY = {"lam": 1.0, "eps_w": (0.8, 4.0), "normalise": True, "first_error": True, "hint": "solution"}


def share_of_digits(completions):
    """How much of a completion is digits: a random model writes few."""
    return [Verdict(sum(c.isdigit() for c in done.text) / (len(done.text) + 1)) for done in completions]


@pytest.mark.parametrize(
    "method",
    [{"method": "grpo"}, {"method": "rlsd", **PAPER}, {"method": "rlsd", **STEADY}],
    ids=["grpo", "rlsd paper", "rlsd steady"],
)
def test_the_reward_goes_up_and_the_evaluation_says_so(method):
    settings = tiny_settings(
        **method, max_steps=30, batch_size=8, num_generations=8, eval_samples=8, learning_rate=1e-2, lora_r=8
    )
    recorder = Recorder()
    run(
        settings,
        policy=tiny_policy(settings, hidden=64),
        tasks=tiny_tasks(16),
        held_out=tiny_tasks(16, first_row=100),
        reward=share_of_digits,
        observer=recorder,
        resume=None,
    )
    baseline, trained = recorder.evaluations
    rewards = [report.metrics["reward_mean"] for report in recorder.steps]
    assert sum(rewards[-5:]) / 5 > 0.5 > 0.2 > sum(rewards[:5]) / 5
    assert trained.low > baseline.high
    assert trained.p_value < 0.001
