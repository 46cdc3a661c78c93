"""The pre-flight on the tiny model: determinism, known solve rates, what a hint changes, and the findings."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from backend.core.hints import Hint
from backend.core.methods import MethodName
from backend.core.verdict import verdict
from tests.worker.engine.tiny import (
    CHAT_TEMPLATE,
    Recorder,
    Verdict,
    tiny_policy,
    tiny_settings,
    tiny_tasks,
    tiny_tokenizer,
    vowel_share,
)
from tests.worker.engine.tiny_vision import image_tasks, tiny_processor, tiny_vision_model
from worker.engine import loop
from worker.engine.experiment import Experiment
from worker.engine.faults import Fault
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.model.policy_loading import build_policy
from worker.engine.preflight.probe import chosen_tasks, probe
from worker.engine.preflight.report import build_report
from worker.engine.preflight.trial_steps import run_trial_steps
from worker.engine.preflight.warm_up import warmed_up
from worker.engine.training.checkpoint import unpack
from worker.engine.types import Completion

TASKS = tiny_tasks(12)


def record_progress(done: list) -> object:
    return lambda *progress: done.append(progress)


def run_probe(
    settings=None, *, policy=None, tasks=TASKS, reward=vowel_share, rows=6, samples=4, progress=None, weights=None
):
    settings = settings or tiny_settings()
    experiment = Experiment(
        settings=settings,
        policy=policy or tiny_policy(settings),
        tasks=tasks,
        held_out=(),
        reward=reward,
        component_weights=weights or {},
    )
    return probe(experiment, rows=rows, samples=samples, progress=progress or (lambda *_: None))


def report(settings=None, *, samples=4, trial_steps=None, **how):
    settings = settings or tiny_settings()
    found = run_probe(settings, samples=samples, **how)
    findings, figures = build_report(
        found, settings=settings, samples=samples, tasks=len(TASKS), trial_steps=trial_steps, warm_steps=0
    )
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    return figures | {"findings": findings}


def levels(found_report) -> dict[str, str]:
    return {found.code: found.level for found in found_report["findings"]}


def right_first(shares: dict[int, int]):
    """Return a verifier that accepts the first completions of each row, as many as given."""
    count: dict[int, int] = {}

    def reward(completions: Sequence[Completion]) -> list[Verdict]:
        verdicts = []
        for completion in completions:
            row = completion.task.row
            count[row] = count.get(row, 0) + 1
            verdicts.append(Verdict(float(count[row] <= shares.get(row, 0))))
        return verdicts

    return reward


def wrong_first(shares: dict[int, int]):
    """Return the opposite of `right_first`."""
    reward = right_first(shares)
    return lambda completions: [Verdict(1 - verdict.score) for verdict in reward(completions)]


def without_clock(found_report):
    return {name: value for name, value in found_report.items() if name != "time"}


def test_the_same_seed_gives_the_same_report_and_another_one_other_rows():
    assert without_clock(report()) == without_clock(report())
    other = report(tiny_settings(seed=8))
    assert [row["row"] for row in other["per_row"]] != [row["row"] for row in report()["per_row"]]


def test_known_solve_rates_are_reported_row_by_row():
    grpo, rows = tiny_settings(method="grpo"), [task.row for task in TASKS[:6]]
    shares = dict(zip(rows, (0, 1, 2, 3, 4, 4), strict=True))
    found_report = report(grpo, tasks=TASKS[:6], reward=right_first(shares))
    assert {row["row"]: row["solve_rate"] for row in found_report["per_row"]} == {r: n / 4 for r, n in shares.items()}
    assert found_report["never_solved"] == rows[:1]
    assert found_report["always_solved"] == rows[4:]
    assert found_report["solve_rate"]["mean"] == pytest.approx(sum(shares.values()) / 24)
    assert found_report["mixed"]["share"]["mean"] == pytest.approx(3 / 6), (
        "with G = samples a row's group is what was sampled"
    )
    assert sum(entry["rows"] for entry in found_report["histogram"]) == 6
    assert found_report["hint"] is None
    assert levels(found_report)["mixed_groups"] == "pass"


def test_mixed_groups_are_predicted_by_the_components_where_those_are_normalised_apart():
    def in_parts(completions: Sequence[Completion]) -> list[Verdict]:
        return [Verdict(0.0, components={"a": float(i % 2), "b": float(-i % 2)}) for i, _ in enumerate(completions)]

    apart, weights = tiny_settings(method="grpo", combine="normalise"), {"a": 1.0, "b": 1.0}
    assert report(tiny_settings(method="grpo"), reward=in_parts)["mixed"]["share"]["mean"] == 0
    found_report = report(apart, reward=in_parts, weights=weights)
    assert found_report["mixed"]["share"]["mean"] == 1
    assert {row["mixed"] for row in found_report["per_row"]} == {1}


@pytest.mark.parametrize(
    ("right", "code"),
    [(0, "nothing_solved"), (4, "everything_solved")],
)
def test_where_no_group_can_be_mixed_the_finding_is_fail_with_a_remedy(right, code):
    found_report = report(tiny_settings(method="grpo"), reward=right_first({task.row: right for task in TASKS}))
    assert levels(found_report)[code] == "fail"
    assert "rows" in found_report["findings"][0].message
    assert found_report["mixed"]["share"] == {"mean": 0.0, "low": 0.0, "high": pytest.approx(1 - 0.025 ** (1 / 6))}


def test_equal_scores_that_are_neither_all_right_nor_all_wrong_fail_too():
    half = {task.row: 4 * (task.row % 2) for task in TASKS}
    assert levels(report(tiny_settings(method="grpo"), reward=right_first(half)))["no_difference"] == "fail"


def test_few_mixed_groups_are_a_warning_and_imitation_needs_none():
    one = right_first({chosen_tasks(TASKS, rows=6, seed=7)[0].row: 1})
    assert levels(report(tiny_settings(method="grpo"), reward=one))["few_mixed_groups"] == "warn"
    none = right_first({})
    assert levels(report(tiny_settings(method="opsd"), reward=none))["mixed_groups"] == "pass"
    sdpo = report(tiny_settings(method="sdpo", hint="sibling"), reward=right_first({}))
    assert levels(sdpo)["nothing_solved"] == "fail", "its hints are completions that were right"


def test_a_broken_verifier_fails_and_its_first_failure_is_reported():
    def broken(completions):
        return [Verdict(None, status="error", reason="KeyError: 'sum'\x00") for _ in completions]

    found_report = report(reward=broken)
    assert levels(found_report)["nothing_scored"] == "fail"
    assert levels(found_report)["verifier_errors"] == "fail"
    assert "KeyError" in found_report["completions"]["first_fault"]
    found = verdict(found_report["findings"], good="", details=found_report["completions"])
    assert "KeyError" in str(found)
    assert "\\u0000" not in json.dumps(found)
    assert found_report["solve_rate"] is None


def test_the_hint_reaches_the_model_and_never_the_verifier():
    seen: list[Completion] = []

    def reward(completions):
        seen.extend(completions)
        return vowel_share(completions)

    settings = tiny_settings(hint="solution")
    policy = tiny_policy(settings)
    found = run_probe(settings, policy=policy, reward=reward)
    for prompt, hinted in zip(found.prompts, found.hinted_prompts, strict=True):
        assert prompt.task is hinted.task
        text = policy.tokenizer.decode(hinted.student.ids)
        assert hinted.task.solution in text
        assert hinted.task.solution not in policy.tokenizer.decode(prompt.student.ids)
    assert found.hinted.texts != found.plain.texts
    assert len(seen) == 2 * 6 * 4
    assert all("hence" not in str(completion.task.messages) for completion in seen)


def test_a_hint_that_changes_nothing_does_not_help_and_one_that_does_helps():
    settings = tiny_settings(hint="empty", num_generations=4)
    assert report(settings)["hint"]["kind"] == "empty"
    assert levels(report(settings))["hint_is_a_control"] == "pass"
    helped = report(tiny_settings(method="opsd"), reward=wrong_first({task.row: 4 for task in TASKS}))
    assert helped["hint"]["helps"] == "yes"
    assert (helped["hint"]["without"], helped["hint"]["shown"]) == (0.0, 1.0)
    solved = report(tiny_settings(), reward=right_first({task.row: 4 for task in TASKS}))
    assert levels(solved)["hint_not_needed"] == "pass"
    silent = report(tiny_settings(method="opsd"), reward=right_first({task.row: 2 for task in TASKS}))
    assert levels(silent)["hint_does_not_help"] == "warn"
    assert len(silent["hint"]["not_helped"]) == 6


def test_siblings_are_shown_to_the_rows_that_have_one():
    chosen = chosen_tasks(TASKS, rows=6, seed=7)
    solved = {task.row: 2 for task in chosen[:2]}
    found_report = report(tiny_settings(method="sdpo", hint="sibling"), reward=right_first(solved))
    assert found_report["hint"]["rows"] == 2
    assert found_report["hint"]["rows_without"] == 4


def test_prompts_that_are_too_long_are_all_named_and_the_others_sampled():
    settings = tiny_settings(max_prompt_tokens=18, method="grpo")
    found_report = report(settings)
    long = [task.row for task in TASKS if len(tiny_tokenizer().encode("q" * (task.row % 5 + 1))) > 4]
    assert found_report["prompts"]["too_long"] == long
    assert levels(found_report)["prompts_too_long"] == "fail"
    assert {row["row"] for row in found_report["per_row"]}.isdisjoint(long)
    nothing = report(tiny_settings(max_prompt_tokens=5))
    assert nothing["rows"] == 0
    assert levels(nothing) == {"prompts_too_long": "fail"}


def test_progress_reaches_its_end_in_batches():
    done: list = []
    run_probe(progress=record_progress(done))
    assert done[-1] == (48, 48, "completions")
    assert [count for count, _, _ in done] == sorted(count for count, _, _ in done)
    assert len(done) == 4, "a batch has as many completions as a step"


def test_what_cannot_start_is_refused_as_a_run_would_refuse_it():
    with pytest.raises(ValueError, match="no tasks"):
        run_probe(tasks=[])
    with pytest.raises(ValueError, match="row 3 has no solution"):
        run_probe(tiny_settings(hint="solution"), tasks=[*TASKS[:2], replace(TASKS[2], solution=None)])
    with pytest.raises(Fault, match="leaves no room for a prompt"):
        run_probe(tiny_settings(max_completion_tokens=600))


def test_after_a_warm_start_the_model_that_training_begins_with_is_measured():
    settings = tiny_settings(max_completion_tokens=48, warm_start={"rows": 8, "epochs": 3, "learning_rate": 0.05})
    policy, done = tiny_policy(settings), []
    experiment = Experiment(settings=settings, policy=policy, tasks=TASKS, held_out=(), reward=vowel_share)
    with warmed_up(experiment, progress=record_progress(done)) as steps:
        warm = run_probe(settings, policy=policy)
        imitated = {name: value.clone() for name, value in policy.adapter(LIVE_ADAPTER).items()}
    assert done[-1] == (steps, steps, "steps of the warm start")
    before = run_probe(settings, policy=policy)
    assert before.plain.texts == run_probe(settings, policy=tiny_policy(settings)).plain.texts != warm.plain.texts
    run = Recorder(stop_after=steps)
    loop.run(experiment, observer=run, resume=None)
    saved = unpack(run.checkpoints[-1].data)
    assert saved.run_state.step == steps > 0
    assert all(torch.equal(saved.tensors[f"adapter.{name}"], value) for name, value in imitated.items())


@pytest.mark.parametrize(
    "changes",
    [
        *({"method": name} for name in MethodName if name is not MethodName.OPD),
        {"method": "opd", "teacher_model": "none such"},
        {"method": "opsd", "divergence": "jsd"},
        {"keep": "best", "eval_interval": 2},
        {"method": "grpo", "practice": {}},
    ],
    ids=lambda changes: " ".join(str(value) for value in changes.values()),
)
def test_the_warm_start_of_a_pre_flight_is_the_same_before_every_method(changes):
    def imitated(**more):
        settings = tiny_settings(max_completion_tokens=48, warm_start={"rows": 4}, **more)
        policy = tiny_policy(settings)
        experiment = Experiment(settings=settings, policy=policy, tasks=TASKS, held_out=(), reward=vowel_share)
        with warmed_up(experiment, progress=lambda *_: None):
            return {name: value.clone() for name, value in policy.adapter(LIVE_ADAPTER).items()}

    expected = imitated(method="grpo")
    found = imitated(**changes)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_a_step_that_fails_in_the_warm_start_leaves_the_adapters_as_they_were():
    settings = tiny_settings(max_completion_tokens=48, warm_start={"rows": 8})
    policy = tiny_policy(settings)
    before = {name: value.clone() for name, value in policy.adapter(LIVE_ADAPTER).items()}
    experiment = Experiment(settings=settings, policy=policy, tasks=TASKS, held_out=(), reward=vowel_share)

    def stop(*_):
        raise InterruptedError

    with pytest.raises(InterruptedError), warmed_up(experiment, progress=stop):
        pass
    assert all(torch.equal(value, before[name]) for name, value in policy.adapter(LIVE_ADAPTER).items())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_run_after_a_pre_flight_is_the_same_to_the_last_bit(dropout):
    settings = tiny_settings(lora_dropout=dropout, max_completion_tokens=48, warm_start={"rows": 4})

    def trained(*, probe_first):
        policy, recorder = tiny_policy(settings), Recorder()
        experiment = Experiment(settings=settings, policy=policy, tasks=TASKS, held_out=(), reward=vowel_share)
        if probe_first:
            with warmed_up(experiment, progress=lambda *_: None):
                run_probe(settings, policy=policy)
        loop.run(experiment, observer=recorder, resume=None)
        return policy.adapter(LIVE_ADAPTER), recorder

    (plain, one), (probed, two) = trained(probe_first=False), trained(probe_first=True)
    assert all(torch.equal(plain[name], probed[name]) for name in plain)
    assert one.checkpoints[-1].data == two.checkpoints[-1].data
    assert [step.rollouts for step in one.steps] == [step.rollouts for step in two.steps]


def test_two_trial_steps_give_time_tokens_and_memory_and_their_phases_add_up():
    settings = tiny_settings()
    trial_steps = run_trial_steps(
        Experiment(settings=settings, policy=tiny_policy(settings), tasks=TASKS[:4], held_out=(), reward=vowel_share)
    )
    time = report(settings, trial_steps=trial_steps)["time"]
    assert time["step_measured"]
    assert len(time["rehearsed"]) == 2
    assert time["device_name"] == "cpu"
    held = time["peak_memory_bytes"]
    assert 0 < held["low"] <= held["mean"] <= held["high"]
    written = [step["rollout_tokens"] for step in time["rehearsed"]]
    per_step = time["total_tokens"]["mean"] / settings.max_steps
    assert per_step == pytest.approx(sum(written) / 2, rel=0.5)
    assert set(time["phases_s"]) == {"rollout", "reward", "teacher", "update", "report"}
    assert time["step_s"]["mean"] == pytest.approx(sum(time["phases_s"].values()), rel=0.5)
    assert time["total_s"]["mean"] == pytest.approx(settings.max_steps * time["step_s"]["mean"])
    alone = report(settings)["time"]
    assert not alone["step_measured"]
    assert "the update" in alone["leaves_out"]
    assert alone["step_s"]["mean"] == pytest.approx(alone["seconds_per_token"] * 3 * 4 * 8)


def test_trial_steps_are_those_of_the_method_and_imitation_samples_nothing():
    warm = {"rows": 4, "target": "answer"}
    for settings in (
        tiny_settings(warm_start=warm, max_completion_tokens=12),
        tiny_settings(method="sft", warm_start=warm, max_completion_tokens=12),
    ):
        policy = tiny_policy(settings)
        trial_steps = run_trial_steps(
            Experiment(settings=settings, policy=policy, tasks=TASKS[:4], held_out=(), reward=vowel_share)
        )
        time = report(settings, trial_steps=trial_steps)["time"]
        samples = settings.method != "sft"
        assert all((step["rollout_tokens"] > 0) == samples for step in trial_steps.steps)
        assert (time["total_tokens"]["mean"] > 0) == samples == bool(time["rehearsed"])
        assert time["step_s"]["mean"] > 0


def test_a_step_that_cannot_be_taken_is_a_finding():
    settings = tiny_settings(max_prompt_tokens=10)
    trial_steps = run_trial_steps(
        Experiment(settings=settings, policy=tiny_policy(settings), tasks=TASKS, held_out=(), reward=vowel_share)
    )
    found_report = report(tiny_settings(), trial_steps=trial_steps)
    assert found_report["findings"][0].code == "step_failed"
    assert "max_prompt_tokens" in found_report["findings"][0].message


def test_a_vision_model_is_sampled_with_images():
    settings, processor = tiny_settings(hint=Hint.SOLUTION), tiny_processor()
    policy = build_policy(tiny_vision_model(), tokenizer=processor.tokenizer, settings=settings, processor=processor)
    found_report = report(settings, policy=policy, tasks=image_tasks(4), rows=3)
    assert found_report["rows"] == 3
    assert any("[image]" in row["question"] for row in found_report["per_row"])


@pytest.mark.parametrize("opening", ["", "<think>\n"])
def test_the_report_says_what_the_template_writes_of_each_answer(opening):
    policy = tiny_policy()
    policy.tokenizer.chat_template = CHAT_TEMPLATE.replace("<|assistant|>", "<|assistant|>" + opening)
    messages = {found.code: found.message for found in report(policy=policy)["findings"]}
    assert ("template_begins_answer" in messages) == bool(opening)
    assert repr(opening) in messages.get("template_begins_answer", repr(opening))
