"""The settings that a method is said to read are those that change what it learns."""

import pytest

from backend.core.methods import METHODS, MethodName, TeacherKind
from backend.core.settings.spec import settings_of
from tests.worker.engine.methods.test_opd import save_teacher
from tests.worker.engine.tiny import (
    Recorder,
    component_weights,
    load_teacher,
    tiny_policy,
    tiny_settings,
    tiny_tasks,
    vowel_share,
    weighed,
)
from tests.worker.engine.whole_runs import adapter, equal
from worker.engine.experiment import Experiment
from worker.engine.loop import run

pytestmark = pytest.mark.slow

WITHOUT_EFFECT = {"teacher_device"}
"""Settings of a part that say where something is computed, not what."""
COMMON = {
    "max_steps": 2,
    "teacher_sync_steps": 1,
    "success_above": 0.4,
    "diagnostic_interval": 0,
    "token_share": 0.0,
}
NO_TEXT = "\ufffd"
"""What is decoded from bytes that are no UTF-8: in most completions of the tiny model."""
CHANGES = {
    "resample_rounds": ({"num_generations": 2, "batch_size": 5, "max_completion_tokens": 3}, 2),
    "sampling": ({"batch_size": 2, "max_steps": 3}, "informative"),
    "combine": ({"combine": "sum"}, "normalise"),
    "scale_rewards": ({}, "none"),
    "overlong_buffer": ({"max_completion_tokens": 24}, 24),
    "overlong_penalty": ({"max_completion_tokens": 24, "overlong_buffer": 24}, 0.1),
    "hint": ({}, "solution"),
    "placebo_of": ({"hint": "placebo"}, "solution"),
    "teacher": ({}, "base"),
    "teacher_sync_steps": ({}, 2),
    "teacher_model": ({}, "another"),
    "teacher_dtype": ({}, "bfloat16"),
    "first_error": ({}, True),
    "reasoning_only": ({"reasoning_end": NO_TEXT}, True),
    "reasoning_end": ({"reasoning_only": True, "reasoning_end": NO_TEXT}, "no such end"),
    "lambda": ({}, 0.7),
    "lambda_decay_steps": ({}, 4),
    "eps_w": ({}, (0.1, 0.3)),
    "normalise": ({}, True),
    "negative_only": ({}, True),
    "route_mixed": ({}, True),
    "alpha": ({}, 0.6),
    "divergence": ({}, "forward_kl"),
    "divergence_beta": ({"divergence": "jsd"}, 0.2),
    "divergence_top_k": ({"divergence": "forward_kl"}, 5),
    "divergence_clip": ({"divergence": "forward_kl"}, 0.1),
    "delta_clip": ({}, 0.3),
    "contrast_samples": ({}, 1),
    "contrast_tau": ({}, 0.5),
    "contrast_threshold": ({}, 0.6),
    "alpha_prefix": ({}, 0.9),
    "prefix_margin": ({}, 2),
}
"""By setting: the values of others with which it has an effect, and another value than its usual one."""


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    return {
        "usual": save_teacher(tmp_path_factory.mktemp("teacher")),
        "another": save_teacher(tmp_path_factory.mktemp("another"), seed=6),
    }


@pytest.fixture(scope="module")
def learned(teachers):
    """What a method learns in two steps, by its settings; a refusal if it does not take them."""
    known = {}

    def learn(method, changes):
        key = (method, *sorted((name, str(value)) for name, value in changes.items()))
        if key not in known:
            known[key] = _learn(method, changes, teachers=teachers)
        return known[key]

    return learn


def _learn(method, changes, *, teachers):
    facts = METHODS[method]
    usual = {"hint": facts.hint} if facts.hint else {}
    if facts.teacher is TeacherKind.EXTERNAL:
        usual["teacher_model"] = teachers["usual"]
    given = COMMON | usual | changes
    if given.get("teacher_model") == "another":
        given["teacher_model"] = teachers["another"]
    try:
        settings = tiny_settings(method=method, **given)
        policy = tiny_policy(settings, random_adapters=True)
        run(
            Experiment(
                settings=settings,
                policy=policy,
                teacher=load_teacher(settings, policy),
                tasks=tiny_tasks(7),
                held_out=[],
                reward=weighed if "combine" in changes else vowel_share,
                component_weights=component_weights(settings),
            ),
            observer=Recorder(),
            resume=None,
        )
    except ValueError as refusal:
        return refusal
    return adapter(policy)


@pytest.mark.parametrize("setting", CHANGES)
@pytest.mark.parametrize("method", MethodName)
def test_a_method_reads_a_setting_if_and_only_if_it_is_said_to(learned, method, setting):
    context, changed = CHANGES[setting]
    before, after = learned(method, context), learned(method, context | {setting: changed})
    refused = isinstance(before, ValueError) or isinstance(after, ValueError)
    reads = not refused and not equal(before, after)
    assert reads == (setting in settings_of(METHODS[method].parts)), (before if refused else after) if refused else ""


def test_every_setting_of_a_part_is_tried():
    of_parts = {name for method in METHODS.values() for name in settings_of(method.parts)}
    assert of_parts - WITHOUT_EFFECT == CHANGES.keys(), (
        "a setting whose `About` names a part of methods needs an entry in CHANGES here: another value, and the values "
        "of others with which it has an effect"
    )
