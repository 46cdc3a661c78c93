"""Warnings about a run: no training signal, a teacher without hints, empty completions."""

import re

import pytest

from backend.core.methods import method_named
from tests.worker.engine.tiny import (
    Recorder,
    Verdict,
    tiny_policy,
    tiny_prompts,
    tiny_settings,
    tiny_tasks,
    vowel_share,
)
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.observer import StepReport
from worker.engine.training.watchdog import STREAK_STEPS, Watchdog
from worker.engine.types import Ending

LONGEST_PROMPT = max(len(prompt.student.ids) for prompt in tiny_prompts(tiny_policy(), 6))


def equal_scores(completions):
    return [Verdict(0.0) for _ in completions]


def run_training(*, reward=vowel_share, resume=None, stop_after=None, **changes):
    settings, recorder = tiny_settings(diagnostic_interval=0, **changes), Recorder(stop_after=stop_after)
    policy = tiny_policy(settings)
    tasks = tiny_tasks(6)
    ending = run(
        Experiment(settings=settings, policy=policy, tasks=tasks, held_out=[], reward=reward),
        observer=recorder,
        resume=resume,
    )
    return ending, recorder


def events_with_code(recorder, code):
    return [(level, message) for level, found, message in recorder.events if found == code]


def test_equal_scores_stop_a_method_that_uses_rewards_even_with_a_teacher():
    ending, recorder = run_training(method="grpo_opsd", reward=equal_scores, max_steps=9, max_dead_steps=3)
    assert ending is Ending.NO_SIGNAL
    assert [report.metrics["skipped"] for report in recorder.steps] == [0, 0, 0]


def test_different_scores_of_completions_that_are_left_out_are_no_signal():
    ending, recorder = run_training(
        method="grpo", max_completion_tokens=2, mask_truncated=True, max_steps=9, max_dead_steps=3
    )
    assert ending is Ending.NO_SIGNAL
    assert len(recorder.steps) == 3


def test_equal_scores_are_reported_once_where_only_the_teacher_is_used():
    ending, recorder = run_training(method="opsd", reward=equal_scores, max_steps=9, max_dead_steps=3)
    assert ending is Ending.DONE
    [(level, message)] = events_with_code(recorder, "equal_scores")
    assert level == "warn"
    assert "In 3 consecutive steps no question had completions with different scores (0% of the" in message
    assert "opsd learns only from its teacher" in message
    assert not events_with_code(run_training(method="opsd", max_steps=4, max_dead_steps=3)[1], "equal_scores")


def test_a_method_that_values_prefixes_goes_on_where_all_are_wrong_and_stops_where_all_are_right():
    run_of_five = {"method": "good_prefix", "hint": "solution", "reward": equal_scores, "max_steps": 5}
    ending, recorder = run_training(**run_of_five, success_above=0.5, max_dead_steps=3)
    assert ending is Ending.DONE
    assert [report.metrics["skipped"] for report in recorder.steps] == [0] * 5
    [(_, message)] = events_with_code(recorder, "equal_scores")
    assert "good_prefix learns also from questions that are never solved" in message
    ending, recorder = run_training(**run_of_five, success_above=-0.5, max_dead_steps=3)
    assert ending is Ending.NO_SIGNAL
    assert [report.metrics["skipped"] for report in recorder.steps] == [1] * 3


def test_steps_without_signal_are_counted_across_resumes():
    settings = {"reward": equal_scores, "max_steps": 20, "max_dead_steps": 5}
    data, steps = None, []
    for expected in (Ending.PAUSED, Ending.PAUSED, Ending.NO_SIGNAL):
        ending, recorder = run_training(**settings, resume=data, stop_after=2)
        assert ending is expected
        steps += [report.step for report in recorder.steps]
        data = recorder.checkpoints[-1].data
    assert steps == [1, 2, 3, 4, 5]
    assert "In 5 consecutive steps" in events_with_code(recorder, "no_signal")[0][1]
    _, recorder = run_training(**settings, resume=data)
    assert [report.step for report in recorder.steps] == [6, 7, 8, 9, 10], (
        "a resumed run gets max_dead_steps further steps"
    )


def test_abstentions_are_distinguished_from_equal_scores():
    def unsure(completions):
        return [Verdict(None, "abstain", "unsure") for _ in completions]

    ending, recorder = run_training(reward=unsure, max_steps=9, max_dead_steps=2)
    assert ending is Ending.NO_SIGNAL
    [(_, message)] = events_with_code(recorder, "no_signal")
    assert "0% of the questions all right, 0% all wrong, 100% of the completions without a score" in message
    assert "check why the verifier gives none" in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"method": "rlsd", "hint": "sibling", "success_above": 2.0},
            "no usable hint for 100% .* for 100% the group had no suitable sibling .* for 0% the sibling was too long",
        ),
        (
            {"method": "rlsd", "hint": "sibling", "success_above": -1.0, "max_prompt_tokens": LONGEST_PROMPT},
            "no usable hint for 100% .* for 0% the group had no suitable sibling .* for 100% the sibling was too long",
        ),
        ({"method": "cepo", "success_above": -1.0}, "for 100% the group had no suitable sibling"),
        ({"method": "rlcsd", "hint": "sibling", "success_above": 2.0}, "for 100% the group had no suitable sibling"),
    ],
)
def test_a_teacher_without_hints_is_reported_once_with_the_reason(changes, reason):
    ending, recorder = run_training(**changes, max_steps=STREAK_STEPS + 2)
    assert ending is Ending.DONE
    [(level, message)] = events_with_code(recorder, "teacher_unheard")
    assert level == "warn"
    assert f"In {STREAK_STEPS} consecutive steps" in message
    assert "kept the advantage of the whole completion, as in grpo" in message
    assert re.search(reason, message)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "rlsd", "hint": "sibling", "success_above": 0.3},
        {"method": "rlsd", "hint": "answer"},
        {"method": "rlsd", "hint": "sibling", "success_above": 2.0, "lambda_decay_steps": 3},
        {"method": "grpo"},
    ],
)
def test_a_teacher_with_occasional_hints_or_no_longer_needed_is_not_reported(changes):
    assert not events_with_code(run_training(**changes, max_steps=STREAK_STEPS + 2)[1], "teacher_unheard")


def test_pure_distillation_stops_without_usable_siblings_and_gives_the_reason():
    changes = {"hint": "sibling", "success_above": -1.0, "max_prompt_tokens": LONGEST_PROMPT}
    ending, recorder = run_training(method="sdpo", **changes, max_steps=9, max_dead_steps=3)
    assert ending is Ending.NO_SIGNAL
    [(_, message)] = events_with_code(recorder, "no_signal")
    assert "for 100% the sibling was too long for max_prompt_tokens" in message
    assert "scored" not in message


def test_many_empty_completions_are_reported_after_consecutive_steps():
    watchdog, recorder = Watchdog(tiny_settings(max_dead_steps=0), method_named("grpo")), Recorder()
    shares = [0.9, 0.2, *[0.5, 0.6] * STREAK_STEPS]
    for step, empty in enumerate(shares, start=1):
        metrics = {"empty": empty, "groups_mixed": 1.0, "skipped": 0.0}
        watchdog.check(StepReport(step=step, metrics=metrics, rollouts=[]), observer=recorder)
        assert bool(recorder.events) == (step >= 2 + STREAK_STEPS)
    [(level, message)] = events_with_code(recorder, "empty_completions")
    assert level == "warn"
    assert f"In {STREAK_STEPS} consecutive steps 54% of the completions were empty" in message


def test_completions_that_are_not_routed_to_the_teacher_are_not_missing_a_hint():
    def one_right(completions):
        return [Verdict(float(n % 4 == 0)) for n in range(len(completions))]

    run_of_six = {"method": "rlsd", "hint": "answer", "max_steps": STREAK_STEPS + 1}
    _, routed = run_training(reward=one_right, route_mixed=True, **run_of_six)
    assert all("unheard" not in report.metrics for report in routed.steps)
    assert not events_with_code(routed, "teacher_unheard")
    _, free = run_training(reward=one_right, **run_of_six)
    assert all(report.metrics["unheard"] == 0 for report in free.steps)
