"""Runs that imitate before they learn from rewards, or imitate alone: what precedes what, and how they stop."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load

from backend.core.control import ControlSignal
from tests.worker.engine.tiny import Recorder, tiny_settings
from tests.worker.engine.whole_runs import HELD_OUT, TASKS, train
from worker.engine.evaluation.evaluate import compare
from worker.engine.faults import Fault
from worker.engine.seeds import batch_indices
from worker.engine.types import Ending

WARM = {"rows": 5, "epochs": 2, "learning_rate": 5e-3, "target": "answer"}
"""Four steps of three and two rows."""
REWARDS = ("reward_mean", "groups_mixed", "entropy", "completion_tokens_mean", "skipped", "lambda")


def settings_of(**changes):
    usual = {"max_steps": 3, "max_completion_tokens": 12, "checkpoint_interval": 100, "warm_start": WARM}
    return tiny_settings(**(usual | changes))


def at_step(recorder, step):
    return next(checkpoint for checkpoint in recorder.checkpoints if checkpoint.step == step)


def test_imitation_comes_first_and_is_measured_apart():
    _, seen, _ = train(settings_of())
    assert [report.step for report in seen.steps] == [1, 2, 3, 4, 5, 6, 7]
    assert {report.warm_steps for report in seen.steps} == {4}
    assert [(e.step, e.phase) for e in seen.evaluations] == [(0, "baseline"), (4, "warm"), (7, "trained")]
    baseline, warm, trained = seen.evaluations
    assert baseline.since_warm_start is None
    assert warm.since_warm_start is None
    assert warm.difference["mean"] == pytest.approx(warm.mean - baseline.mean)
    assert trained.since_warm_start == compare(warm.per_question, trained.per_question, seed=7)
    assert trained.difference["mean"] == pytest.approx(trained.mean - baseline.mean)
    assert [checkpoint.step for checkpoint in seen.checkpoints] == [0, 4, 7]


def test_a_step_of_imitation_reports_its_loss_and_costs_and_nothing_of_rewards():
    _, seen, _ = train(settings_of(), held_out=[])
    for report in seen.steps[:4]:
        assert not report.rollouts
        assert not set(REWARDS) & report.metrics.keys()
        assert (report.metrics["rollout_tokens"], report.metrics["teacher_tokens"]) == (0, 0)
        assert report.metrics["update_tokens"] > report.metrics["target_tokens"] > 0
        assert report.metrics["learning_rate"] == 5e-3
    losses = [report.metrics["loss"] for report in seen.steps[:4]]
    assert losses[2] < losses[0]
    assert losses[3] < losses[1]
    sizes = [round(report.metrics["target_tokens"] / 9) for report in seen.steps[:4]]
    assert sizes == [3, 2, 3, 2], "an epoch shows each row once"
    assert all(set(REWARDS) <= report.metrics.keys() for report in seen.steps[4:])


def test_the_methods_own_steps_count_from_one_after_the_warm_start():
    settings = settings_of(lambda_decay_steps=10, lr_schedule="linear", max_steps=4)
    _, seen, _ = train(settings)
    _, cold, _ = train(settings_of(lambda_decay_steps=10, lr_schedule="linear", max_steps=4, warm_start={}))
    for warm, plain in zip(seen.steps[4:], cold.steps, strict=True):
        assert warm.step == plain.step + 4
        for name in ("lambda", "learning_rate"):
            assert warm.metrics[name] == plain.metrics[name]
        assert [rollout.row for rollout in warm.rollouts] == [rollout.row for rollout in plain.rollouts]
    rows = [TASKS[i].row for i in batch_indices(1, seed=7, batch_size=3, num_rows=7)]
    assert list(dict.fromkeys(rollout.row for rollout in seen.steps[4].rollouts)) == rows


def test_training_begins_without_moments_and_with_the_warm_adapter_as_its_snapshot():
    _, seen, _ = train(settings_of())
    tensors = load(at_step(seen, 4).data)
    assert not [key for key in tensors if key.startswith("optimizer.")]
    adapter = {key: value for key, value in tensors.items() if key.startswith("adapter.")}
    assert all(torch.equal(value, tensors[key.replace("adapter.", "snapshot.", 1)]) for key, value in adapter.items())
    assert any(value.any() for key, value in adapter.items() if "lora_B" in key)
    assert any(key.startswith("optimizer.") for key in load(at_step(seen, 7).data))


def test_held_out_rows_are_not_imitated():
    settings = settings_of(warm_start=WARM | {"rows": 100})
    _, seen, _ = train(settings)
    _, others, _ = train(settings, held_out=[replace(task, answer="other") for task in HELD_OUT])
    assert seen.checkpoints[-1].step == others.checkpoints[-1].step == 9
    first, second = (load(at_step(each, 6).data) for each in (seen, others))
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize("stop_after", [2, 4, 5])
def test_a_run_paused_in_the_warm_start_or_after_it_resumes_to_the_same_bits(stop_after):
    settings = settings_of(lora_dropout=0.1)
    _, whole, _ = train(settings)
    ending, first, _ = train(settings, recorder=Recorder(stop_after=stop_after))
    assert ending is Ending.PAUSED
    assert first.checkpoints[-1].step == stop_after
    ending, second, _ = train(settings, resume=first.checkpoints[-1].data)
    assert ending is Ending.DONE
    assert first.evaluations + second.evaluations == whole.evaluations
    assert second.checkpoints[-1].data == whole.checkpoints[-1].data
    assert not [event for event in second.events if event[1] == "imitation"], "said once"


def test_a_run_cancelled_in_the_warm_start_keeps_what_it_has():
    ending, seen, _ = train(settings_of(), recorder=Recorder(stop_after=3, signal=ControlSignal.CANCEL))
    assert ending is Ending.CANCELLED
    assert seen.checkpoints[-1].step == 3
    assert [e.phase for e in seen.evaluations] == ["baseline"]


def test_a_budget_counts_imitation_too_and_may_end_in_it():
    _, seen, _ = train(settings_of(budget=3))
    assert [report.step for report in seen.steps] == [1, 2, 3]
    assert [(e.step, e.phase) for e in seen.evaluations] == [(0, "baseline"), (3, "trained")]
    assert [message for _, code, message in seen.events if code == "budget_used_up"] == [
        "The budget of 3 steps is used up after 3 of 7 steps."
    ]


def test_sft_imitates_alone_for_as_many_steps():
    settings = settings_of(method="sft", warm_start={"target": "answer"}, max_steps=8, eval_interval=4)
    ending, seen, _ = train(settings)
    assert ending is Ending.DONE
    assert [report.step for report in seen.steps] == list(range(1, 9))
    assert [(e.step, e.phase) for e in seen.evaluations] == [(0, "baseline"), (4, "interim"), (8, "trained")]
    assert all(e.since_warm_start is None for e in seen.evaluations)
    assert all(report.metrics["learning_rate"] == 1e-2 for report in seen.steps)
    assert seen.steps[-1].metrics["loss"] < 0.7 * seen.steps[0].metrics["loss"]


def test_rows_that_cannot_be_shown_are_left_out_and_said_once():
    tasks = [
        replace(TASKS[0], answer=None),
        replace(TASKS[1], answer=" "),
        replace(TASKS[2], answer="much too long for this"),
        replace(TASKS[3], answer="4<|end|>5"),
        *TASKS[4:],
    ]
    _, seen, _ = train(settings_of(method="grpo"), tasks=tasks)
    [(level, message)] = [(level, message) for level, code, message in seen.events if code == "imitation"]
    assert level == "warn"
    assert message == (
        "Warm start of 2 steps. The answers of 3 rows are imitated. Left out: 2 without answer, 1 with more than "
        "max_completion_tokens = 12 tokens, 1 with tokens that end a completion or stand for an image."
    )


@pytest.mark.parametrize("method", ["rlsd", "sft"])
def test_a_run_with_nothing_to_imitate_is_refused_with_the_reasons(method):
    tasks = [replace(task, trajectory=None) for task in TASKS]
    settings = settings_of(method=method, warm_start=WARM | {"target": "trajectory"})
    recorder = Recorder()
    with pytest.raises(Fault, match=r"nothing to imitate.* Left out: 7 without trajectory") as refused:
        train(settings, tasks=tasks, recorder=recorder)
    assert refused.value.param == "warm_start.target"
    assert not recorder.steps


def test_a_checkpoint_from_before_warm_starts_belongs_to_a_run_without_one():
    settings = settings_of(warm_start={}, max_steps=2)
    _, seen, _ = train(settings)
    data = seen.checkpoints[0].data
    for name in (b"rows", b"epochs", b"learning_rate", b"target"):
        data = data.replace(b'\\"warm_start_' + name, b'\\"formerly_u_' + name)
    ending, again, _ = train(settings, resume=data)
    assert ending is Ending.DONE
    assert again.checkpoints[-1].data == seen.checkpoints[-1].data
    with pytest.raises(ValueError, match="warm_start_rows was 0 and is now 5"):
        train(settings_of(max_steps=2), resume=data)


class PausesInWarmEvaluation(Recorder):
    """Requests a pause once, before the second batch of the evaluation after the warm start."""

    checks = 0

    def control_signal(self):
        if len(self.steps) != 4:
            return ControlSignal.RUN
        self.checks += 1
        return ControlSignal.PAUSE if self.checks == 2 else ControlSignal.RUN


def test_an_evaluation_after_the_warm_start_that_was_interrupted_is_repeated():
    settings = settings_of(batch_size=2, num_generations=2, warm_start=WARM | {"rows": 4})
    _, whole, _ = train(settings)
    ending, first, _ = train(settings, recorder=PausesInWarmEvaluation())
    assert ending is Ending.PAUSED
    assert (first.checkpoints[-1].step, first.checkpoints[-1].score) == (4, None)
    _, second, _ = train(settings, resume=first.checkpoints[-1].data)
    assert first.evaluations + second.evaluations == whole.evaluations
    assert second.checkpoints[-1].data == whole.checkpoints[-1].data
