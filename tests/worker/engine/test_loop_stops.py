"""Ends and interruptions of runs, and the equality of resumed runs."""

import gc
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
import torch
from safetensors.torch import load, save

from backend.core.control import ControlSignal
from backend.jobs import estimate
from tests.worker.engine.tiny import (
    Recorder,
    tiny_policy,
    tiny_settings,
    vowel_share,
)
from tests.worker.engine.whole_runs import HELD_OUT, TASKS, adapter, train
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.rollouts.chat_template import asked
from worker.engine.training.budget import TOKEN_METRICS, step_usage
from worker.engine.training.checkpoint import fingerprint, require_same_run
from worker.engine.types import Ending


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "embed_tokens")])
def test_a_paused_run_resumes_where_it_stopped(targets):
    settings = tiny_settings(max_steps=5, checkpoint_interval=100, lora_target_modules=targets)
    _, whole, _ = train(settings)
    ending, first, _ = train(settings, recorder=Recorder(stop_after=2))
    assert ending is Ending.PAUSED
    assert [checkpoint.step for checkpoint in first.checkpoints] == [0, 2]
    ending, second, _ = train(settings, resume=first.checkpoints[-1].data)
    assert ending is Ending.DONE
    assert [report.step for report in second.steps] == [3, 4, 5]
    assert [e.phase for e in second.evaluations] == ["trained"]
    assert second.evaluations == whole.evaluations[1:]
    assert second.checkpoints[-1].data == whole.checkpoints[-1].data
    moved = [key for key, tensor in load(whole.checkpoints[-1].data).items() if "exp_avg_sq" in key and tensor.any()]
    assert any("embed_tokens" in key for key in moved) == ("embed_tokens" in targets)


class PausesInInterim(Recorder):
    """Requests a pause once, between the first and second batch of the interim evaluation after step 2."""

    checks = 0

    def control_signal(self):
        if len(self.steps) != 2:
            return ControlSignal.RUN
        self.checks += 1
        return ControlSignal.PAUSE if self.checks == 2 else ControlSignal.RUN


@pytest.mark.parametrize("checkpoint_interval", [5, 2])
def test_an_interim_evaluation_interrupted_by_a_pause_is_repeated_on_resume(checkpoint_interval):
    settings = tiny_settings(
        max_steps=5, eval_interval=2, checkpoint_interval=checkpoint_interval, batch_size=2, num_generations=2
    )
    _, whole, _ = train(settings)
    ending, first, _ = train(settings, recorder=PausesInInterim())
    assert ending is Ending.PAUSED
    assert [e.step for e in first.evaluations] == [0]
    assert (first.checkpoints[-1].step, first.checkpoints[-1].score) == (2, None)
    ending, second, _ = train(settings, resume=first.checkpoints[-1].data)
    assert ending is Ending.DONE
    assert [report.step for report in second.steps] == [3, 4, 5]
    assert first.evaluations + second.evaluations == whole.evaluations
    repeated = second.checkpoints[0]
    assert (repeated.step, repeated.score) == (2, whole.evaluations[1].mean)
    assert second.checkpoints[-1].data == whole.checkpoints[-1].data

    _, third, _ = train(settings, resume=repeated.data)
    assert third.evaluations == whole.evaluations[2:], "a known score is not measured again"
    assert third.checkpoints[-1].data == whole.checkpoints[-1].data


def test_a_run_that_stops_right_after_an_interim_evaluation_keeps_its_score_and_does_not_repeat_it():
    settings = tiny_settings(max_steps=5, eval_interval=2, checkpoint_interval=100)
    _, whole, _ = train(settings)

    class PausesAfterInterim(Recorder):
        def control_signal(self):
            return ControlSignal.PAUSE if len(self.evaluations) == 2 else ControlSignal.RUN

    _, first, _ = train(settings, recorder=PausesAfterInterim())
    stopped = first.checkpoints[-1]
    assert (stopped.step, stopped.score) == (2, whole.evaluations[1].mean)
    _, second, _ = train(settings, resume=stopped.data)
    assert first.evaluations + second.evaluations == whole.evaluations
    assert second.checkpoints[-1].data == whole.checkpoints[-1].data


def test_a_resumed_run_frees_its_checkpoint():
    freed = []

    class Blob(bytes):
        def __del__(self):
            freed.append(len(self))

    class MeasuresMemory(Recorder):
        """Records the total bytes of all tensors after each step."""

        def __init__(self):
            super().__init__()
            self.tensor_bytes = {}

        def step(self, report):
            gc.collect()
            storages = [t.untyped_storage() for t in gc.get_objects() if issubclass(type(t), torch.Tensor)]
            self.tensor_bytes[report.step] = sum({s.data_ptr(): s.nbytes() for s in storages}.values())

    settings = tiny_settings(max_steps=4, checkpoint_interval=2, lora_r=64)
    uninterrupted, resumed = MeasuresMemory(), MeasuresMemory()
    _, _, policy = train(settings, recorder=uninterrupted)
    adapter_bytes = sum(tensor.nbytes for tensor in adapter(policy).values())
    del policy
    data = next(checkpoint.data for checkpoint in uninterrupted.checkpoints if checkpoint.step == 2)
    policy = tiny_policy(settings)
    run(
        Experiment(settings=settings, policy=policy, tasks=TASKS, held_out=HELD_OUT, reward=vowel_share),
        observer=resumed,
        resume=Blob(data),
    )
    assert freed == [len(data)]
    assert resumed.tensor_bytes.keys() == {3, 4}
    assert abs(resumed.tensor_bytes[3] - uninterrupted.tensor_bytes[3]) < 0.1 * adapter_bytes


@pytest.mark.parametrize(("unit", "steps"), [("steps", 3), ("tokens", 3), ("seconds", 1)])
def test_a_run_ends_with_an_evaluation_after_the_step_that_uses_up_its_budget(unit, steps):
    settings = tiny_settings(max_steps=9, eval_interval=1, checkpoint_interval=1)
    _, whole, _ = train(settings.model_copy(update={"max_steps": 3}))
    used = [sum(report.metrics[name] for name in TOKEN_METRICS) for report in whole.steps]
    limits = {"steps": 3.0, "tokens": sum(used[:2]) + 1, "seconds": 1e-9}
    ending, recorder, _ = train(settings.model_copy(update={"budget": limits[unit], "budget_unit": unit}))
    assert ending is Ending.DONE
    assert len(recorder.steps) == steps
    assert [(e.step, e.phase) for e in recorder.evaluations[-1:]] == [(steps, "trained")]
    assert [e.step for e in recorder.evaluations] == list(range(steps + 1))
    assert [checkpoint.step for checkpoint in recorder.checkpoints] == list(range(steps + 1))
    [(level, code, message)] = recorder.events
    assert (level, code) == ("info", "budget_used_up")
    assert f"{unit} is used up after {steps} of 9 steps." in message


def test_the_used_budget_survives_a_pause():
    settings = tiny_settings(max_steps=9, checkpoint_interval=100)
    _, whole, _ = train(settings.model_copy(update={"max_steps": 4}))
    used = [sum(report.metrics[name] for name in TOKEN_METRICS) for report in whole.steps]
    bounded = settings.model_copy(update={"budget": sum(used[:3]) + 1, "budget_unit": "tokens"})
    _, first, _ = train(bounded, recorder=Recorder(stop_after=2))
    ending, second, _ = train(bounded, resume=first.checkpoints[-1].data)
    assert ending is Ending.DONE
    assert [report.step for report in second.steps] == [3, 4]
    _, third, _ = train(bounded, resume=second.checkpoints[-1].data)
    assert third.steps == []


def test_a_step_counts_the_same_in_a_budget_and_in_a_comparison():
    assert TOKEN_METRICS == estimate.TOKEN_METRICS
    assert step_usage({"step_s": 2.0}, unit="seconds", devices=4) == 8.0


def test_a_cancelled_run_stops_before_the_next_step_with_a_checkpoint():
    ending, recorder, _ = train(tiny_settings(), recorder=Recorder(stop_after=3, signal=ControlSignal.CANCEL))
    assert ending is Ending.CANCELLED
    assert len(recorder.steps) == 3
    assert recorder.checkpoints[-1].step == 3


def test_a_run_can_be_paused_during_the_baseline_evaluation():
    settings = tiny_settings()
    ending, recorder, _ = train(settings, recorder=Recorder(stop_after=0))
    assert ending is Ending.PAUSED
    assert not recorder.evaluations
    ending, resumed, _ = train(settings, resume=recorder.checkpoints[-1].data)
    assert ending is Ending.DONE
    assert resumed.evaluations[0].phase == "baseline"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "grpo"),
        ("seed", 8),
        ("batch_size", 2),
        ("learning_rate", 2e-2),
        ("eps_w", (0.2, 0.3)),
        ("lora_target_modules", ("q_proj",)),
        ("hint", "solution"),
    ],
)
def test_a_checkpoint_of_a_run_with_another_setting_is_refused_naming_it(half, name, value):
    with pytest.raises(ValueError, match=rf"another run: {name} was .* and is now .*"):
        train(tiny_settings(**{name: value}), resume=half)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": [*TASKS[:-1], replace(TASKS[-1], answer="another")]}, "the training rows have changed .*answer"),
        ({"tasks": [*TASKS[:-1], replace(TASKS[-1], item={"row": 0})]}, "the training rows have changed .*item"),
        ({"tasks": TASKS[:-1]}, "the training rows have changed"),
        ({"tasks": TASKS[::-1]}, "the training rows have changed"),
        ({"held_out": HELD_OUT[1:]}, "the held-out rows have changed"),
    ],
)
def test_a_checkpoint_of_a_run_on_other_rows_is_refused(half, changes, message):
    with pytest.raises(ValueError, match=message):
        train(tiny_settings(), resume=half, **changes)


def test_images_and_non_json_values_are_part_of_the_fingerprint():
    def make_fingerprint(images, day):
        tasks = [replace(TASKS[0], images=images, item={"day": day, "parts": {"size": Decimal("1.5")}})]
        return fingerprint(tiny_settings(), tasks=tasks, held_out=[])

    same = make_fingerprint((b"png",), date(2026, 1, 1))
    assert make_fingerprint((b"png",), date(2026, 1, 1)) == same
    assert make_fingerprint((b"gif",), date(2026, 1, 1)) != same
    assert make_fingerprint((b"png",), date(2026, 1, 2)) != same


def test_a_run_can_be_resumed_with_more_steps_and_other_batch_sizes():
    settings = tiny_settings(max_steps=2)
    _, short, _ = train(settings)
    changes = {
        "max_steps": 3,
        "micro_batch_tokens": 100,
        "rollout_sequences": 5,
        "eval_interval": 1,
        "token_share": 1.0,
    }
    ending, longer, _ = train(settings.model_copy(update=changes), resume=short.checkpoints[-1].data)
    assert ending is Ending.DONE
    assert [report.step for report in longer.steps] == [3]


def test_a_checkpoint_without_a_fingerprint_is_accepted(half):
    data = with_state_changed(
        half, lambda state: {name: state[name] for name in ("format", "step", "baseline", "score")}
    )
    ending, recorder, _ = train(tiny_settings(learning_rate=2e-2), resume=data)
    assert ending is Ending.DONE
    assert [report.step for report in recorder.steps] == [3, 4]


@pytest.mark.parametrize(
    ("name", "default", "changed"),
    [
        ("kl_beta", "0.0", 0.5),
        ("lr_schedule", "'constant'", "cosine"),
        ("mask_truncated", "False", True),
        ("instruction", "''", "Think first."),
        ("dual_clip", "3.0", 2.0),
        ("lora_dropout", "0.0", 0.1),
    ],
)
def test_a_checkpoint_of_before_a_setting_goes_on_with_its_default_alone(half, name, default, changed):
    def earlier(state):
        del state["fingerprint"]["settings"][name]
        del state["fingerprint"]["training rows"]["privileged"]
        return state

    data = with_state_changed(half, earlier)
    assert train(tiny_settings(), resume=data)[0] is Ending.DONE
    with pytest.raises(ValueError, match=rf"another run: {name} was {default} and is now"):
        train(tiny_settings(**{name: changed}), resume=data)
    with pytest.raises(ValueError, match="seed was 7 and is now 8"):
        train(tiny_settings(seed=8), resume=data)


def test_a_checkpoint_of_when_rows_were_recorded_with_folded_messages_goes_on():
    def recorded(tasks):
        known = fingerprint(tiny_settings(), tasks=tasks, held_out=HELD_OUT)
        for part in ("training rows", "held-out rows"):
            del known[part]["prompt_messages"]
        return known

    folded = [asked_task(task, fold=True) for task in TASKS]
    earlier = recorded([replace(task, messages=task.prompt, prompt_messages=None) for task in folded])
    require_same_run(earlier, fingerprint(tiny_settings(), tasks=folded, held_out=HELD_OUT))
    unfolded = [asked_task(task, fold=False) for task in TASKS]
    with pytest.raises(ValueError, match=r"training rows have changed .*prompt_messages"):
        require_same_run(earlier, fingerprint(tiny_settings(), tasks=unfolded, held_out=HELD_OUT))
    require_same_run(recorded(TASKS), fingerprint(tiny_settings(), tasks=unfolded, held_out=HELD_OUT))


def asked_task(task, *, fold):
    return replace(task, prompt_messages=tuple(asked(task.messages, instruction="", fold=fold)))


def test_a_run_of_before_special_tokens_were_kept_goes_on_without_them(half):
    def earlier(state):
        del state["fingerprint"]["settings"]["skip_special_tokens"]
        return state

    data = with_state_changed(half, earlier)
    with pytest.raises(ValueError, match="skip_special_tokens was True and is now False"):
        train(tiny_settings(), resume=data)
    assert train(tiny_settings(skip_special_tokens=True), resume=data)[0] is Ending.DONE


@pytest.mark.parametrize(("before", "now"), [(True, "std"), (False, "none")])
def test_a_run_of_when_scaling_rewards_was_yes_or_no_goes_on(half, before, now):
    def earlier(state):
        state["fingerprint"]["settings"]["scale_rewards"] = before
        return state

    data = with_state_changed(half, earlier)
    assert train(tiny_settings(scale_rewards=now), resume=data)[0] is Ending.DONE
    with pytest.raises(ValueError, match=r"scale_rewards was .* and is now 'mean'"):
        train(tiny_settings(scale_rewards="mean"), resume=data)


@pytest.fixture(scope="module")
def half():
    """The checkpoint after two of four steps."""
    _, recorder, _ = train(tiny_settings())
    return next(checkpoint.data for checkpoint in recorder.checkpoints if checkpoint.step == 2)


def with_state_changed(data, change):
    """Return the checkpoint with a changed run state and the same tensors."""
    size = int.from_bytes(data[:8], "little")
    state = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["rlsd"])
    return save(load(data), metadata={"rlsd": json.dumps(change(state))})
