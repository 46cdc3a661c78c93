"""A small model really gets better at something, by every method there is and both presets of `rlsd`.

Where the verifier is read, at what it rewards; where a teacher alone is imitated, at speaking like that teacher.
"""

from dataclasses import replace

import pytest

from backend.core.methods import MethodName, TeacherKind, method_named
from tests.worker.engine.methods.test_opd import save_teacher
from tests.worker.engine.tiny import Recorder, Verdict, load_teacher, tiny_policy, tiny_settings, tiny_tasks
from worker.engine.experiment import Experiment
from worker.engine.loop import run

pytestmark = pytest.mark.training

PAPER = {"lam": 0.5, "lambda_decay_steps": 25, "eps_w": (0.2, 0.2)}
STEADY = {"lam": 1.0, "eps_w": (0.8, 4.0), "normalise": True, "first_error": True, "hint": "solution"}
REWARDED = {
    "grpo": {"method": "grpo"},
    "rlsd paper": {"method": "rlsd", **PAPER},
    "rlsd steady": {"method": "rlsd", **STEADY},
    "rlsd_template": {"method": "rlsd_template", **PAPER},
    "cepo": {"method": "cepo", "success_above": 0.2, **PAPER},
    "rlcsd": {"method": "rlcsd", "hint": "sibling", "success_above": 0.2},
    "grpo_opsd": {"method": "grpo_opsd", "alpha": 0.1},
    "sc_grpo": {"method": "sc_grpo", "hint": "sibling", "success_above": 0.2},
    "good_prefix": {"method": "good_prefix", "success_above": 0.2},
}
IMITATING = {
    "opsd": {"method": "opsd", "teacher": "base", "hint": "solution"},
    "sdpo": {"method": "sdpo", "teacher": "base", "hint": "sibling", "success_above": 0.0},
    "opd": {"method": "opd"},
}


def share_of_digits(completions):
    """How much of a completion is digits: a random model writes few."""
    return [Verdict(sum(c.isdigit() for c in done.text) / (len(done.text) + 1)) for done in completions]


def learned(folder, *, tasks=None, **changes):
    """What is seen of a run of 30 steps on the digits."""
    if changes["method"] == "opd":
        changes["teacher_model"] = save_teacher(folder)
    settings = tiny_settings(
        **{
            "max_steps": 30,
            "batch_size": 8,
            "num_generations": 8,
            "eval_samples": 8,
            "learning_rate": 1e-2,
            "lora_r": 8,
            "token_share": 1.0,
            "diagnostic_interval": 0,
        }
        | changes
    )
    policy, recorder = tiny_policy(settings, hidden=64), Recorder()
    run(
        Experiment(
            settings=settings,
            policy=policy,
            teacher=load_teacher(settings, policy),
            tasks=tasks or tiny_tasks(16),
            held_out=tiny_tasks(16, first_row=100),
            reward=share_of_digits,
        ),
        observer=recorder,
        resume=None,
    )
    return recorder


def distance(steps):
    """How much likelier the student finds its own tokens than its teacher does: an estimate of the divergence."""
    tokens = [rollout.tokens for step in steps for rollout in step.rollouts if rollout.tokens.logp_teacher]
    apart = [s - t for kept in tokens for s, t in zip(kept.logp_student, kept.logp_teacher, strict=True)]
    return sum(apart) / len(apart)


@pytest.mark.parametrize("name", REWARDED)
def test_the_reward_goes_up_and_the_evaluation_says_so(tmp_path, name):
    recorder = learned(tmp_path, **REWARDED[name])
    baseline, trained = recorder.evaluations
    rewards = [report.metrics["reward_mean"] for report in recorder.steps]
    assert sum(rewards[-5:]) / 5 > 0.5 > 0.2 > sum(rewards[:5]) / 5
    assert trained.low > baseline.high
    assert trained.p_value < 0.001
    heard = [report.metrics.get("unheard", 1.0) < 1 for report in recorder.steps]
    assert any(heard) == (method_named(REWARDED[name]["method"]).teacher is not TeacherKind.NONE)


@pytest.mark.parametrize("name", IMITATING)
def test_the_student_comes_closer_to_the_teacher_that_it_imitates(tmp_path, name):
    steps = learned(tmp_path, **IMITATING[name]).steps
    assert distance(steps[-3:]) < 0.8 * distance(steps[:3])


def rows_with_numbers():
    """Rows whose answers are half digits."""
    return [replace(task, answer=f"{task.row:03}abc") for task in tiny_tasks(16)]


def test_imitation_alone_teaches_what_it_shows(tmp_path):
    """Half of what is shown is digits, so that is what the model learns to write, and no more."""
    recorder = learned(tmp_path, tasks=rows_with_numbers(), method="sft", warm_start={"target": "answer"})
    baseline, trained = recorder.evaluations
    assert recorder.steps[-1].metrics["loss"] < 0.4 * recorder.steps[0].metrics["loss"]
    assert trained.low > baseline.high
    assert trained.mean < 0.5


def test_rewards_teach_beyond_what_a_warm_start_has_shown(tmp_path):
    recorder = learned(
        tmp_path,
        tasks=rows_with_numbers(),
        method="grpo",
        max_steps=20,
        warm_start={"rows": 16, "epochs": 8, "learning_rate": 1e-2, "target": "answer"},
    )
    baseline, warm, trained = recorder.evaluations
    assert warm.low > baseline.high
    assert trained.since_warm_start.difference["low"] > 0
    assert trained.since_warm_start.p_value < 0.001
    rewards = [report.metrics["reward_mean"] for report in recorder.steps[16:]]
    assert sum(rewards[-5:]) > sum(rewards[:5]) > 5 * baseline.mean


def test_every_method_is_tried():
    assert {case["method"] for case in (REWARDED | IMITATING).values()} | {"sft"} == set(MethodName)
