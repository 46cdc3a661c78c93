"""What the teachers of a step read, and which sequences are run for it."""

from dataclasses import replace

import pytest
import torch

from tests.worker.engine.tiny import students_own, tiny_policy, tiny_reader, tiny_settings, tiny_tasks
from tests.worker.engine.training.test_update import rollouts_of
from worker.engine.methods import METHODS, method_named
from worker.engine.rollouts.prompts import HINT_BLOCK, Context
from worker.engine.step import live_sequences
from worker.engine.teacher.contexts import TeacherContexts, make_briefer
from worker.engine.types import Hint

TASKS = tiny_tasks(4)
REWARDS = torch.tensor([1.0, 0.0, 1.0, 0.0] + [0.0] * 4 + [1.0] * 4 + [1.0, 0.0, torch.nan, 0.0]).double()
"""Of four groups: mixed, all wrong, all right, mixed with one unscored."""


def briefer_of(policy, method, *, tasks=TASKS, room=400, **changes):
    changes = {"hint": "sibling"} | changes if method == "sdpo" else changes
    settings = tiny_settings(method=method, **changes)
    reader = tiny_reader(policy, room=room)
    return make_briefer(tasks, reader=reader, method=method_named(method), settings=settings)


def brief(method, *, rewards=REWARDS, step=1, room=400, **changes):
    policy = tiny_policy()
    rollouts = rollouts_of(policy)
    briefing = briefer_of(policy, method, room=room, **changes).brief(rollouts, rewards, step=step)
    return policy, rollouts, briefing


def said(policy, context):
    """The hint in a teacher's context."""
    if context is None:
        return None
    before, after = HINT_BLOCK.split("{hint}")
    return policy.tokenizer.decode(context.ids).split(before)[1].split(after + "<|end|>")[0]


@pytest.mark.parametrize("hint", [Hint.ANSWER, Hint.SOLUTION, Hint.TRAJECTORY, Hint.PRIVILEGED, Hint.EMPTY])
def test_a_fixed_hint_reaches_every_sequence_of_its_row(hint):
    policy, rollouts, briefing = brief("rlsd", hint=hint)
    tasks = [rollouts.prompt_of(b).task for b in range(16)]
    expected = ["" if hint is Hint.EMPTY else getattr(task, hint) for task in tasks]
    assert [said(policy, context) for context in briefing.teacher_B] == expected
    assert briefing.teacher_mask_B.all()
    assert briefing.contrasts_KB == ()


@pytest.mark.parametrize("placebo_of", ["answer", "solution"])
def test_a_placebo_is_told_to_a_row_from_another_one_and_never_changes(placebo_of):
    policy, rollouts, briefing = brief("rlsd", hint="placebo", placebo_of=placebo_of)
    for b, context in enumerate(briefing.teacher_B):
        own = getattr(rollouts.prompt_of(b).task, placebo_of)
        assert said(policy, context) in {getattr(task, placebo_of) for task in TASKS} - {own}
    assert brief("rlsd", hint="placebo", placebo_of=placebo_of, step=5)[2] == briefing


@pytest.mark.parametrize("method", ["sdpo", "rlsd"])
def test_a_sibling_is_told_where_the_group_has_another_success(method):
    policy, rollouts, briefing = brief(method, hint="sibling")
    told = [context is not None for context in briefing.teacher_B]
    assert told == [True] * 4 + [False] * 4 + [True] * 4 + [False, True, True, True]
    assert briefing.teacher_mask_B.tolist() == told
    for b, context in enumerate(briefing.teacher_B):
        if context is not None:
            group = range(b - b % 4, b - b % 4 + 4)
            others = {rollouts.texts[i].strip() for i in group if i != b and REWARDS[i] == 1}
            assert said(policy, context) in others


def test_which_sibling_is_told_depends_on_seed_and_step_alone():
    first = brief("sdpo", step=3)[2]
    assert brief("sdpo", step=3)[2] == first
    assert any(brief("sdpo", step=step)[2] != first for step in range(4, 9))
    assert any(brief("sdpo", step=3, seed=seed)[2] != first for seed in range(5))


def test_a_sibling_that_does_not_fit_leaves_the_teacher_without_a_word():
    _, rollouts, _ = brief("sdpo")
    longest = max(len(context.ids) for context in students_own(rollouts))
    briefing = brief("sdpo", room=longest + 1)[2]
    assert not briefing.teacher_mask_B.any()
    absent = [False] * 4 + [True] * 4 + [False] * 4 + [True, False, False, False]
    assert list(briefing.absent_B) == absent
    assert briefing.too_long_B.tolist() == [not there for there in absent], "where a hint exists it is told apart"


def test_a_contrast_has_up_to_k_wrong_siblings_and_needs_both_hints():
    policy, rollouts, briefing = brief("cepo", hint="solution", contrast_samples=3)
    assert len(briefing.contrasts_KB) == 3
    counts = [sum(reading[b] is not None for reading in briefing.contrasts_KB) for b in range(16)]
    assert counts == [2, 1, 2, 1, 3, 3, 3, 3, 0, 0, 0, 0, 2, 1, 2, 1]
    assert briefing.teacher_mask_B.tolist() == [count > 0 for count in counts]
    assert list(briefing.absent_B) == [count == 0 for count in counts]
    assert not briefing.too_long_B.any()
    unheard = [b for b in range(16) if not briefing.teacher_mask_B[b]]
    assert all(reading[b] is None for reading in briefing.readings for b in unheard), "and nothing is read in vain"
    for b in range(16):
        wrong = {said(policy, reading[b]) for reading in briefing.contrasts_KB} - {None}
        group = range(b - b % 4, b - b % 4 + 4)
        assert wrong <= {rollouts.texts[i].strip() for i in group if i != b and REWARDS[i] == 0}
        assert len(wrong) == counts[b]


def test_a_group_without_a_success_tells_rlcsd_nothing_though_it_has_failures():
    _, _, briefing = brief("rlcsd", hint="sibling")
    assert briefing.teacher_mask_B.tolist() == [True] * 4 + [False] * 8 + [False, True, True, True]


def test_the_contrast_of_rlsd_template_is_the_empty_block():
    policy, _, briefing = brief("rlsd_template", hint="answer")
    assert {said(policy, context) for context in briefing.contrasts_KB[0]} == {""}


def test_an_external_teacher_reads_what_the_student_reads_and_needs_no_hint():
    policy = tiny_policy()
    rollouts = rollouts_of(policy)
    tasks = [replace(task, answer=None, solution=None) for task in TASKS]
    briefing = briefer_of(policy, "opd", tasks=tasks).brief(rollouts, REWARDS, step=1)
    assert briefing.teacher_B == students_own(rollouts)
    assert briefing.teacher_mask_B.all()


@pytest.mark.parametrize("hint", ["answer", "solution", "trajectory", "privileged"])
def test_a_missing_hint_is_an_error_naming_the_row(hint):
    tasks = [*TASKS[:2], replace(TASKS[2], **{hint: None}), TASKS[3]]
    policy = tiny_policy()
    with pytest.raises(ValueError, match=f"row 3 has no {hint}"):
        briefer_of(policy, "rlsd", tasks=tasks, hint=hint)
    with pytest.raises(ValueError, match=f"row 3 has no {hint}"):
        briefer_of(policy, "rlsd", tasks=tasks, hint="placebo", placebo_of=hint)
    assert briefer_of(policy, "rlsd", tasks=tasks, hint="empty").placebos is None


def test_a_rows_own_hint_that_is_too_long_is_an_error_naming_the_row():
    tasks = [*TASKS[:2], replace(TASKS[2], solution="so " * 200)]
    with pytest.raises(ValueError, match="row 3: the prompt with its hint has"):
        briefer_of(tiny_policy(), "rlsd", tasks=tasks, hint="solution")


def test_sdpo_is_defined_with_a_sibling():
    with pytest.raises(ValueError, match="sdpo is defined with the hint sibling, got answer"):
        briefer_of(tiny_policy(), "sdpo", hint="answer")


def test_the_control_is_told_another_rows_hint_of_the_same_kind():
    policy = tiny_policy()
    rollouts = rollouts_of(policy)

    def control(*, tasks=TASKS, **changes):
        return briefer_of(policy, "rlsd", tasks=tasks, **changes).control(rollouts, REWARDS, step=1)

    readings = control(hint="solution")
    for b in range(16):
        own, placebo = said(policy, readings.own_B[b]), said(policy, readings.placebo_B[b])
        assert own == rollouts.prompt_of(b).task.solution
        assert placebo in {task.solution for task in TASKS} - {own}
    alike = [replace(task, solution="as always") for task in TASKS]
    assert control(hint="solution", tasks=alike) is None
    assert control(hint="solution", diagnostic_interval=0) is None
    assert all(control(hint=hint) is None for hint in ("empty", "placebo", "wrong_sibling"))


@pytest.mark.parametrize("method", ["sdpo", "rlsd"])
def test_the_control_of_a_sibling_is_told_another_rows_success_of_the_same_step(method):
    policy = tiny_policy()
    rollouts = rollouts_of(policy)
    briefer = briefer_of(policy, method, hint="sibling")
    control = briefer.control(rollouts, REWARDS, step=3)
    assert control.own_B == briefer.brief(rollouts, REWARDS, step=3).teacher_B, "what credit was given by"
    for b, (own, placebo) in enumerate(zip(control.own_B, control.placebo_B, strict=True)):
        assert (own is None) == (placebo is None)
        if placebo is not None:
            group = range(b - b % 4, b - b % 4 + 4)
            strangers = {rollouts.texts[i].strip() for i in range(16) if i not in group and REWARDS[i] == 1}
            assert said(policy, placebo) in strangers - {said(policy, own)}
            assert rollouts.prompt_of(b).task.messages[-1]["content"] in policy.tokenizer.decode(placebo.ids)


def test_a_sibling_has_no_control_where_no_other_row_succeeded():
    policy = tiny_policy()
    rewards = REWARDS.where(torch.arange(16) < 4, 0.0)
    control = briefer_of(policy, "sdpo").control(rollouts_of(policy), rewards, step=1)
    assert set(control.own_B) == set(control.placebo_B) == {None}


def test_a_teacher_that_reads_no_hint_has_no_control():
    policy = tiny_policy()
    briefer = briefer_of(policy, "opd", hint="sibling")
    assert briefer.control(rollouts_of(policy), REWARDS, step=1) is None


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        (["grpo", "rlsd", "rlsd_template", "cepo", "rlcsd"], [1, 2]),
        (["opsd", "sdpo", "opd"], [0, 1]),
        (["grpo_opsd"], [0, 1, 2]),
    ],
)
def test_only_sequences_with_a_signal_are_run(methods, expected):
    advantages = torch.tensor([0.0, 1.0, -1.0, 0.0])
    told = Context((1, 2, 3))
    briefing = TeacherContexts(teacher_B=(told, told, None, None), contrasts_KB=(), absent_B=(False, False, True, True))
    for method in methods:
        assert live_sequences(METHODS[method], advantages, briefing) == expected
    covered = {"grpo", "rlsd", "rlsd_template", "cepo", "rlcsd", "opsd", "sdpo", "opd", "grpo_opsd"}
    assert covered == METHODS.keys()


def test_without_a_teacher_a_sequence_is_run_for_its_reward_alone():
    advantages = torch.tensor([0.0, 1.0, -1.0, 0.0])
    assert live_sequences(METHODS["rlsd"], advantages, None) == [1, 2]
