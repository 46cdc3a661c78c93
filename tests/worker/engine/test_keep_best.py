"""Runs that keep their best step: chosen on one half of the held-out questions, measured on the other."""

import pytest

from tests.worker.engine.tiny import Recorder, Verdict, tiny_settings, tiny_tasks, vowel_share
from tests.worker.engine.whole_runs import adapter, equal, train
from worker.engine.evaluation.keeping import halves
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.training.checkpoint import adapter_from_checkpoint
from worker.engine.types import Ending, QuestionScores

HELD_OUT = tiny_tasks(10, first_row=50)
BEST = {"method": "grpo", "keep": "best", "eval_interval": 2, "max_steps": 8, "checkpoint_interval": 100}
CHOOSING = {
    question["row"] for question in halves([QuestionScores(row=task.row, scores=[]) for task in HELD_OUT], seed=7)[0]
}


class Scripted:
    """A reward that gives each evaluation in turn these scores on the questions that choose, and on the others."""

    def __init__(self, choosing, measuring, *, done=0):
        self.choosing, self.measuring, self.seen = choosing, measuring, done * len(HELD_OUT) * 2

    def __call__(self, completions):
        verdicts = vowel_share(completions)
        for place, completion in enumerate(completions):
            if completion.task.row >= 50:
                turn = self.seen // (len(HELD_OUT) * 2)
                scores = self.choosing if completion.task.row in CHOOSING else self.measuring
                verdicts[place] = Verdict(scores[turn], "abstain" if scores[turn] is None else "ok")
                self.seen += 1
        return verdicts


def run_best(choosing, measuring, *, done=0, resume=None, recorder=None, **changes):
    settings = tiny_settings(**(BEST | changes))
    reward = Scripted(choosing, measuring, done=done)
    return train(settings, reward=reward, held_out=HELD_OUT, resume=resume, recorder=recorder)


def at_step(recorder, step):
    """Return the adapter of the last checkpoint of this step."""
    data = [checkpoint.data for checkpoint in recorder.checkpoints if checkpoint.step == step][-1]
    return adapter_from_checkpoint(data, r=4, alpha=8.0).tensors


def phases(recorder):
    return [(report.step, report.phase) for report in recorder.evaluations]


def test_the_step_is_chosen_on_one_half_and_the_result_is_of_the_other_alone():
    _, recorder, policy = run_best([0.1, 0.5, 0.9, 0.9, 0.3], [0.2, 0.8, 0.4, 0.9, 1.0])
    assert phases(recorder) == [
        *((0, "baseline"), (2, "interim"), (4, "interim"), (6, "interim"), (8, "interim"), (4, "trained"))
    ]
    result = recorder.evaluations[-1]
    assert (result.mean, result.n, result.completions) == (0.4, 5, 10)
    assert result.selection == {"mean": pytest.approx(0.9), "n": 5}
    assert result.difference["mean"] == pytest.approx(0.4 - 0.2), "the base is measured on the same questions"
    assert [e.mean for e in recorder.evaluations[:-1]] == pytest.approx([0.2, 0.8, 0.4, 0.9, 1.0])
    for report in recorder.evaluations:
        assert not {question["row"] for question in report.per_question} & CHOOSING
    assert equal(adapter(policy), at_step(recorder, 4))
    assert not equal(adapter(policy), at_step(recorder, 8))
    assert [c.score for c in recorder.checkpoints] == pytest.approx([0.1, 0.5, 0.9, 0.3]), "of those that choose"
    assert [(c.step, c.kept_step) for c in recorder.checkpoints] == [(0, 0), (2, 2), (4, 4), (8, 4)]
    (message,) = [message for _, code, message in recorder.events if code == "kept"]
    assert message == "Kept: step 4, chosen on 5 of the questions; the result is measured on the other 5."


def test_the_model_before_training_is_kept_if_nothing_later_is_better():
    _, recorder, policy = run_best([0.5] * 5, [0.5, 0.1, 0.1, 0.1, 0.9])
    result = recorder.evaluations[-1]
    assert (result.step, result.phase, result.mean, result.difference["mean"]) == (0, "trained", 0.5, 0)
    lora_b = [value for name, value in policy.adapter(LIVE_ADAPTER).items() if "lora_B" in name]
    assert not any(value.any() for value in lora_b), "an adapter without effect"
    assert any("lora_B" in name and value.any() for name, value in at_step(recorder, 8).items())


def test_patience_begins_after_the_warm_start():
    warm = {"warm_start": {"rows": 4, "epochs": 1}, "max_completion_tokens": 48, "patience": 2}
    ending, recorder, _ = run_best([0.9, 0.5, 0.5, 0.4, 0.3, 0.2], [0.2] * 6, **warm)
    waited = [phase for _, phase in phases(recorder)]
    assert ending is Ending.DONE
    assert waited == ["baseline", "warm", "interim", "interim", "trained"]


def test_a_run_without_more_patience_ends_with_the_evaluation_that_used_it_up():
    ending, recorder, _ = run_best([0.1, 0.9, 0.5, 0.9, 1.0], [0.2] * 5, patience=2)
    assert ending is Ending.DONE
    assert len(recorder.steps) == 6
    assert phases(recorder) == [(0, "baseline"), (2, "interim"), (4, "interim"), (6, "interim"), (2, "trained")]
    (message,) = [message for _, code, message in recorder.events if code == "stopped_early"]
    assert message == (
        "The last 2 evaluations were no better than that of step 2 on the questions that choose (patience): the run "
        "ended after step 6 of 8."
    )
    _, patient, _ = run_best([0.1, 0.9, 0.5, 0.9, 1.0], [0.2] * 5, patience=3)
    assert len(patient.steps) == 8


def test_a_run_that_a_budget_ends_is_evaluated_after_its_last_step():
    _, recorder, _ = run_best([0.1, 0.5, 0.9], [0.2, 0.8, 0.4], budget=3)
    assert phases(recorder) == [(0, "baseline"), (2, "interim"), (3, "interim"), (3, "trained")]
    assert [code for _, code, _ in recorder.events] == ["budget_used_up", "kept"]


@pytest.mark.parametrize("stop_after", [1, 4, 5])
def test_a_resumed_run_keeps_and_ends_as_one_that_never_stopped(stop_after):
    choosing, measuring = [0.1, 0.9, 0.5, 0.9, 1.0], [0.2, 0.3, 0.4, 0.5, 0.6]
    _, whole, kept = run_best(choosing, measuring, patience=2)
    ending, first, _ = run_best(choosing, measuring, patience=2, recorder=Recorder(stop_after=stop_after))
    assert ending is Ending.PAUSED
    done = len(first.evaluations)
    _, second, again = run_best(choosing, measuring, patience=2, done=done, resume=first.checkpoints[-1].data)
    assert [*first.evaluations, *second.evaluations] == whole.evaluations
    assert second.checkpoints[-1].data == whole.checkpoints[-1].data
    assert equal(adapter(again), adapter(kept))


def test_a_finished_run_that_resumes_reports_the_same_result_without_another_evaluation():
    _, whole, kept = run_best([0.1, 0.9, 0.5, 0.9, 1.0], [0.2, 0.3, 0.4, 0.5, 0.6], patience=2)
    _, again, policy = run_best([], [], patience=2, resume=whole.checkpoints[-1].data)
    assert again.evaluations == whole.evaluations[-1:]
    assert equal(adapter(policy), adapter(kept))


def test_a_step_is_not_kept_if_no_question_that_chooses_has_a_score():
    _, recorder, policy = run_best([None] * 5, [0.2, 0.8, 0.4, 0.9, 1.0])
    assert phases(recorder)[-1] == (8, "interim")
    assert [c.score for c in recorder.checkpoints] == [None, None]
    assert equal(adapter(policy), at_step(recorder, 8))


@pytest.mark.parametrize(
    ("changes", "held_out", "said"),
    [({"eval_interval": 0}, HELD_OUT, "set eval_interval to 1 or more"), ({}, HELD_OUT[:3], "at least 4, got 3")],
)
def test_what_cannot_choose_is_refused(changes, held_out, said):
    with pytest.raises(ValueError, match=said):
        train(tiny_settings(**(BEST | changes)), held_out=held_out)


def test_a_run_that_keeps_the_last_step_holds_no_other_adapter():
    _, recorder, _ = train(tiny_settings(method="grpo", max_steps=1), held_out=HELD_OUT)
    checkpoint = recorder.checkpoints[-1]
    assert checkpoint.kept_step is None
    assert b"kept." not in checkpoint.data
    assert recorder.evaluations[-1].selection is None
    assert recorder.evaluations[-1].n == 10
