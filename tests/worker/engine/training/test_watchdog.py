"""What a person must hear of a run: that there is nothing to learn, that the teacher is not heard, or the student."""

import re

import pytest

from tests.worker.engine.tiny import (
    Recorder,
    Verdict,
    tiny_policy,
    tiny_prompts,
    tiny_settings,
    tiny_tasks,
    vowel_share,
)
from worker.engine.loop import run
from worker.engine.methods import method_named
from worker.engine.observer import StepReport
from worker.engine.training.watchdog import LONG, Watchdog
from worker.engine.types import Ending

LONGEST_PROMPT = max(len(prompt.student.ids) for prompt in tiny_prompts(tiny_policy(), 6))


def alike(completions):
    return [Verdict(0.0) for _ in completions]


def trained(*, reward=vowel_share, resume=None, stop_after=None, **changes):
    settings, recorder = tiny_settings(diagnostic_interval=0, **changes), Recorder(stop_after=stop_after)
    policy = tiny_policy(settings)
    tasks = tiny_tasks(6)
    ending = run(settings, policy=policy, tasks=tasks, held_out=[], reward=reward, observer=recorder, resume=resume)
    return ending, recorder


def told(recorder, code):
    return [(level, message) for level, found, message in recorder.events if found == code]


def test_scores_that_never_differ_stop_a_method_that_needs_them_though_its_teacher_has_a_word():
    ending, recorder = trained(method="grpo_opsd", reward=alike, max_steps=9, max_dead_steps=3)
    assert ending is Ending.NO_SIGNAL
    assert [report.metrics["skipped"] for report in recorder.steps] == [0, 0, 0]


def test_scores_that_never_differ_are_told_once_where_the_teacher_alone_is_learned_from():
    ending, recorder = trained(method="opsd", reward=alike, max_steps=9, max_dead_steps=3)
    assert ending is Ending.DONE
    [(level, message)] = told(recorder, "equal_scores")
    assert level == "warn"
    assert "In 3 steps running no question had completions that scored differently (0% of the" in message
    assert "opsd learns from its teacher alone" in message
    assert not told(trained(method="opsd", max_steps=4, max_dead_steps=3)[1], "equal_scores")


def test_steps_without_signal_are_counted_on_where_a_run_is_put_elsewhere_every_other_step():
    settings = {"reward": alike, "max_steps": 20, "max_dead_steps": 5}
    data, steps = None, []
    for expected in (Ending.PAUSED, Ending.PAUSED, Ending.NO_SIGNAL):
        ending, recorder = trained(**settings, resume=data, stop_after=2)
        assert ending is expected
        steps += [report.step for report in recorder.steps]
        data = recorder.checkpoints[-1].data
    assert steps == [1, 2, 3, 4, 5]
    assert "In 5 steps running" in told(recorder, "no_signal")[0][1]
    _, recorder = trained(**settings, resume=data)
    assert [report.step for report in recorder.steps] == [6, 7, 8, 9, 10], "who resumes after that has it wait anew"


def test_a_verifier_that_abstains_from_everything_is_told_from_one_that_scores_all_the_same():
    def unsure(completions):
        return [Verdict(None, "abstain", "unsure") for _ in completions]

    ending, recorder = trained(reward=unsure, max_steps=9, max_dead_steps=2)
    assert ending is Ending.NO_SIGNAL
    [(_, message)] = told(recorder, "no_signal")
    assert "0% of the questions all right, 0% all wrong, 100% of the completions without a score" in message
    assert "see why the verifier gives none" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"method": "rlsd", "hint": "sibling", "success_above": 2.0},
            "no word on 100% of the completions: for 100% the group held no sibling .* for 0% each was too long",
        ),
        (
            {"method": "rlsd", "hint": "sibling", "success_above": -1.0, "max_prompt_tokens": LONGEST_PROMPT},
            "no word on 100% of the completions: for 0% the group held no sibling .* for 100% each was too long",
        ),
        ({"method": "cepo", "success_above": -1.0}, "for 100% the group held no sibling"),
        ({"method": "rlcsd", "hint": "sibling", "success_above": 2.0}, "for 100% the group held no sibling"),
    ],
)
def test_a_teacher_that_is_never_heard_is_told_once_with_the_reason(changes, said):
    ending, recorder = trained(**changes, max_steps=LONG + 2)
    assert ending is Ending.DONE
    [(level, message)] = told(recorder, "teacher_unheard")
    assert level == "warn"
    assert f"In {LONG} steps running" in message
    assert "kept the advantage of the whole completion, as with grpo" in message
    assert re.search(said, message)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "rlsd", "hint": "sibling", "success_above": 0.3},
        {"method": "rlsd", "hint": "answer"},
        {"method": "rlsd", "hint": "sibling", "success_above": 2.0, "lambda_decay_steps": 3},
        {"method": "grpo"},
    ],
)
def test_a_teacher_that_is_heard_now_and_then_or_not_asked_any_more_is_no_event(changes):
    assert not told(trained(**changes, max_steps=LONG + 2)[1], "teacher_unheard")


def test_a_method_that_only_imitates_stops_for_want_of_siblings_that_fit_and_says_so():
    changes = {"hint": "sibling", "success_above": -1.0, "max_prompt_tokens": LONGEST_PROMPT}
    ending, recorder = trained(method="sdpo", **changes, max_steps=9, max_dead_steps=3)
    assert ending is Ending.NO_SIGNAL
    [(_, message)] = told(recorder, "no_signal")
    assert "for 100% each was too long for max_prompt_tokens" in message
    assert "scored" not in message


def test_many_empty_completions_are_told_once_they_have_lasted():
    vigil, recorder = Watchdog(tiny_settings(), method_named("grpo")), Recorder()
    shares = [0.9, 0.2, *[0.5, 0.6] * LONG]
    for step, empty in enumerate(shares, start=1):
        metrics = {"empty": empty, "groups_mixed": 1.0, "skipped": 0.0}
        vigil.look(StepReport(step=step, metrics=metrics, rollouts=[]), observer=recorder)
        assert bool(recorder.events) == (step >= 2 + LONG)
    [(level, message)] = told(recorder, "empty_completions")
    assert level == "warn"
    assert f"In {LONG} steps running 54% of the completions were empty" in message
