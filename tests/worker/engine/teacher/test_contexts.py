"""The teachers' contexts in a step, and which sequences are run."""

from dataclasses import replace

import pytest
import torch

from backend.core.hints import Hint
from backend.core.methods import METHODS, method_named
from tests.worker.engine.tiny import rollout_contexts, tiny_policy, tiny_prompt_builder, tiny_settings, tiny_tasks
from tests.worker.engine.training.test_update import rollouts_of
from worker.engine.rollouts.prompts import HINT_BLOCK, Context
from worker.engine.step import live_sequences
from worker.engine.teacher.contexts import TeacherContexts, make_context_builder

TASKS = tiny_tasks(4)
REWARDS = torch.tensor([1.0, 0.0, 1.0, 0.0] + [0.0] * 4 + [1.0] * 4 + [1.0, 0.0, torch.nan, 0.0]).double()
"""Of four groups: mixed, all wrong, all right, mixed with one unscored."""


def context_builder(policy, method, *, tasks=TASKS, max_tokens=400, **changes):
    changes = {"hint": "sibling"} | changes if method == "sdpo" else changes
    settings = tiny_settings(method=method, **changes)
    prompt_builder = tiny_prompt_builder(policy, max_tokens=max_tokens)
    return make_context_builder(tasks, prompt_builder=prompt_builder, method=method_named(method), settings=settings)


def build_contexts(method, *, rewards=REWARDS, step=1, max_tokens=400, **changes):
    policy = tiny_policy()
    rollouts = rollouts_of(policy)
    contexts = context_builder(policy, method, max_tokens=max_tokens, **changes).build(rollouts, rewards, step=step)
    return policy, rollouts, contexts


def hint_in(policy, context):
    """The hint in a teacher's context."""
    if context is None:
        return None
    before, after = HINT_BLOCK.split("{hint}")
    return policy.tokenizer.decode(context.ids).split(before)[1].split(after + "<|end|>")[0]


@pytest.mark.parametrize("hint", [Hint.ANSWER, Hint.SOLUTION, Hint.TRAJECTORY, Hint.PRIVILEGED, Hint.EMPTY])
def test_a_fixed_hint_reaches_every_sequence_of_its_row(hint):
    policy, rollouts, contexts = build_contexts("rlsd", hint=hint)
    tasks = [rollouts.prompt_of(b).task for b in range(16)]
    expected = ["" if hint is Hint.EMPTY else getattr(task, hint) for task in tasks]
    assert [hint_in(policy, context) for context in contexts.teacher_B] == expected
    assert contexts.teacher_mask_B.all()
    assert contexts.contrasts_KB == ()


@pytest.mark.parametrize("placebo_of", ["answer", "solution"])
def test_a_placebo_comes_from_another_row_and_never_changes(placebo_of):
    policy, rollouts, contexts = build_contexts("rlsd", hint="placebo", placebo_of=placebo_of)
    for b, context in enumerate(contexts.teacher_B):
        own = getattr(rollouts.prompt_of(b).task, placebo_of)
        assert hint_in(policy, context) in {getattr(task, placebo_of) for task in TASKS} - {own}
    assert build_contexts("rlsd", hint="placebo", placebo_of=placebo_of, step=5)[2] == contexts


@pytest.mark.parametrize(("method", "hint"), [("rlsd", "solution"), ("cepo", "solution"), ("rlcsd", "sibling")])
def test_routing_consults_the_teacher_only_in_groups_with_two_right_and_a_wrong_one(method, hint):
    rewards = torch.tensor([1.0, 1, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0, torch.nan])
    routed = build_contexts(method, rewards=rewards, hint=hint, route_mixed=True)[2]
    free = build_contexts(method, rewards=rewards, hint=hint)[2]
    inside = [b // 4 in (0, 3) for b in range(16)]
    assert routed.teacher_mask_B.tolist() == [
        heard and mixed for heard, mixed in zip(free.teacher_mask_B.tolist(), inside, strict=True)
    ]
    assert routed.teacher_mask_B.any()
    for found_B, free_B in zip(routed.all_contexts, free.all_contexts, strict=True):
        assert list(found_B) == [context if mixed else None for context, mixed in zip(free_B, inside, strict=True)]
    assert list(routed.routed_out_B) == [not mixed for mixed in inside]
    assert routed.no_hint_B == free.no_hint_B
    assert not any(free.routed_out_B)
    assert not routed.too_long_B.any()


def test_methods_without_weights_are_not_routed():
    assert build_contexts("opsd", hint="solution", route_mixed=True)[2].teacher_mask_B.all()


@pytest.mark.parametrize("method", ["sdpo", "rlsd"])
def test_a_sibling_hint_needs_another_success_in_the_group(method):
    policy, rollouts, contexts = build_contexts(method, hint="sibling")
    available = [context is not None for context in contexts.teacher_B]
    assert available == [True] * 4 + [False] * 4 + [True] * 4 + [False, True, True, True]
    assert contexts.teacher_mask_B.tolist() == available
    for b, context in enumerate(contexts.teacher_B):
        if context is not None:
            group = range(b - b % 4, b - b % 4 + 4)
            others = {rollouts.texts[i].strip() for i in group if i != b and REWARDS[i] == 1}
            assert hint_in(policy, context) in others


def test_the_choice_of_the_sibling_depends_on_seed_and_step_alone():
    first = build_contexts("sdpo", step=3)[2]
    assert build_contexts("sdpo", step=3)[2] == first
    assert any(build_contexts("sdpo", step=step)[2] != first for step in range(4, 9))
    assert any(build_contexts("sdpo", step=3, seed=seed)[2] != first for seed in range(5))


def test_a_sibling_that_does_not_fit_leaves_no_context():
    _, rollouts, _ = build_contexts("sdpo")
    longest = max(len(context.ids) for context in rollout_contexts(rollouts))
    contexts = build_contexts("sdpo", max_tokens=longest + 1)[2]
    assert not contexts.teacher_mask_B.any()
    absent = [False] * 4 + [True] * 4 + [False] * 4 + [True, False, False, False]
    assert list(contexts.no_hint_B) == absent
    assert contexts.too_long_B.tolist() == [not there for there in absent], "where a hint exists, it was too long"


def test_a_contrast_has_up_to_k_wrong_siblings_and_needs_both_hints():
    policy, rollouts, contexts = build_contexts("cepo", hint="solution", contrast_samples=3)
    assert len(contexts.contrasts_KB) == 3
    counts = [sum(contexts_B[b] is not None for contexts_B in contexts.contrasts_KB) for b in range(16)]
    assert counts == [2, 1, 2, 1, 3, 3, 3, 3, 0, 0, 0, 0, 2, 1, 2, 1]
    assert contexts.teacher_mask_B.tolist() == [count > 0 for count in counts]
    assert list(contexts.no_hint_B) == [count == 0 for count in counts]
    assert not contexts.too_long_B.any()
    without_hint = [b for b in range(16) if not contexts.teacher_mask_B[b]]
    assert all(contexts_B[b] is None for contexts_B in contexts.all_contexts for b in without_hint), (
        "and no teacher pass is run in vain"
    )
    for b in range(16):
        wrong = {hint_in(policy, contexts_B[b]) for contexts_B in contexts.contrasts_KB} - {None}
        group = range(b - b % 4, b - b % 4 + 4)
        assert wrong <= {rollouts.texts[i].strip() for i in group if i != b and REWARDS[i] == 0}
        assert len(wrong) == counts[b]


def test_a_group_without_a_success_gives_rlcsd_no_signal_though_it_has_failures():
    _, _, contexts = build_contexts("rlcsd", hint="sibling")
    assert contexts.teacher_mask_B.tolist() == [True] * 4 + [False] * 8 + [False, True, True, True]


def test_the_contrast_of_rlsd_template_is_the_empty_block():
    policy, _, contexts = build_contexts("rlsd_template", hint="answer")
    assert {hint_in(policy, context) for context in contexts.contrasts_KB[0]} == {""}


def test_an_external_teacher_gets_the_students_contexts_and_needs_no_hint():
    policy = tiny_policy()
    rollouts = rollouts_of(policy)
    tasks = [replace(task, answer=None, solution=None) for task in TASKS]
    contexts = context_builder(policy, "opd", tasks=tasks).build(rollouts, REWARDS, step=1)
    assert contexts.teacher_B == rollout_contexts(rollouts)
    assert contexts.teacher_mask_B.all()


@pytest.mark.parametrize("hint", ["answer", "solution", "trajectory", "privileged"])
def test_a_missing_hint_is_an_error_naming_the_row(hint):
    tasks = [*TASKS[:2], replace(TASKS[2], **{hint: None}), TASKS[3]]
    policy = tiny_policy()
    with pytest.raises(ValueError, match=f"row 3 has no {hint}"):
        context_builder(policy, "rlsd", tasks=tasks, hint=hint)
    with pytest.raises(ValueError, match=f"row 3 has no {hint}"):
        context_builder(policy, "rlsd", tasks=tasks, hint="placebo", placebo_of=hint)
    assert context_builder(policy, "rlsd", tasks=tasks, hint="empty").placebos is None


def test_a_rows_own_hint_that_is_too_long_is_an_error_naming_the_row():
    tasks = [*TASKS[:2], replace(TASKS[2], solution="so " * 200)]
    with pytest.raises(ValueError, match="row 3: the prompt with its hint has"):
        context_builder(tiny_policy(), "rlsd", tasks=tasks, hint="solution")


def test_sdpo_is_defined_with_a_sibling():
    with pytest.raises(ValueError, match="sdpo is defined with the hint sibling, got answer"):
        context_builder(tiny_policy(), "sdpo", hint="answer")


def test_the_control_gets_another_rows_hint_of_the_same_kind():
    policy = tiny_policy()
    rollouts = rollouts_of(policy)

    def control(*, tasks=TASKS, **changes):
        return context_builder(policy, "rlsd", tasks=tasks, **changes).control(rollouts, REWARDS, step=1)

    found = control(hint="solution")
    for b in range(16):
        own, placebo = hint_in(policy, found.hinted_B[b]), hint_in(policy, found.placebo_B[b])
        assert own == rollouts.prompt_of(b).task.solution
        assert placebo in {task.solution for task in TASKS} - {own}
    alike = [replace(task, solution="as always") for task in TASKS]
    assert control(hint="solution", tasks=alike) is None
    assert control(hint="solution", diagnostic_interval=0) is None
    assert all(control(hint=hint) is None for hint in ("empty", "placebo", "wrong_sibling"))


@pytest.mark.parametrize("method", ["sdpo", "rlsd"])
def test_the_control_of_a_sibling_is_another_rows_success_of_the_same_step(method):
    policy = tiny_policy()
    rollouts = rollouts_of(policy)
    builder = context_builder(policy, method, hint="sibling")
    control = builder.control(rollouts, REWARDS, step=3)
    assert control.hinted_B == builder.build(rollouts, REWARDS, step=3).teacher_B, (
        "the contexts that credit was computed with"
    )
    for b, (own, placebo) in enumerate(zip(control.hinted_B, control.placebo_B, strict=True)):
        assert (own is None) == (placebo is None)
        if placebo is not None:
            group = range(b - b % 4, b - b % 4 + 4)
            others = {rollouts.texts[i].strip() for i in range(16) if i not in group and REWARDS[i] == 1}
            assert hint_in(policy, placebo) in others - {hint_in(policy, own)}
            assert rollouts.prompt_of(b).task.messages[-1]["content"] in policy.tokenizer.decode(placebo.ids)


def test_a_sibling_has_no_control_where_no_other_row_succeeded():
    policy = tiny_policy()
    rewards = REWARDS.where(torch.arange(16) < 4, 0.0)
    control = context_builder(policy, "sdpo").control(rollouts_of(policy), rewards, step=1)
    assert set(control.hinted_B) == set(control.placebo_B) == {None}


def test_a_teacher_without_a_hint_has_no_control():
    policy = tiny_policy()
    builder = context_builder(policy, "opd", hint="sibling")
    assert builder.control(rollouts_of(policy), REWARDS, step=1) is None


def live(method, advantages, contexts, *, failing):
    """Return the sequences with a signal, none of which is practised."""
    practised = torch.zeros(len(advantages), dtype=torch.bool)
    return live_sequences(METHODS[method], advantages, contexts, failing_B=failing, practised_B=practised)


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        (["grpo", "rlsd", "rlsd_template", "cepo", "rlcsd", "sc_grpo"], [1, 2]),
        (["opsd", "sdpo", "opd"], [0, 1]),
        (["grpo_opsd"], [0, 1, 2]),
        (["good_prefix"], [1, 2]),
    ],
)
def test_only_sequences_with_a_signal_are_run(methods, expected):
    advantages = torch.tensor([0.0, 1.0, -1.0, 0.0])
    failing = torch.tensor([False, True, True, True])
    context = Context((1, 2, 3))
    contexts = TeacherContexts(
        teacher_B=(context, context, None, None),
        contrasts_KB=(),
        no_hint_B=(False, False, True, True),
        routed_out_B=(False,) * 4,
    )
    for method in methods:
        assert live(method, advantages, contexts, failing=failing) == expected
    covered = {
        "good_prefix",
        "sc_grpo",
        "grpo",
        "rlsd",
        "rlsd_template",
        "cepo",
        "rlcsd",
        "opsd",
        "sdpo",
        "opd",
        "grpo_opsd",
    }
    assert covered == {name for name, method in METHODS.items() if not method.imitates}


def test_without_a_teacher_a_sequence_is_run_for_its_reward_alone():
    advantages = torch.tensor([0.0, 1.0, -1.0, 0.0])
    assert live("rlsd", advantages, None, failing=advantages < 9) == [1, 2]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_practised_sequence_is_run_for_its_reward_alone(method):
    advantages, everywhere = torch.tensor([0.0, 1.0, -1.0, 0.0]), torch.ones(4, dtype=torch.bool)
    nowhere = (False,) * 4
    contexts = TeacherContexts(
        teacher_B=(Context((1, 2)),) * 4, contrasts_KB=(), no_hint_B=nowhere, routed_out_B=nowhere
    )
    found = live_sequences(METHODS[method], advantages, contexts, failing_B=everywhere, practised_B=everywhere)
    assert found == [1, 2]
