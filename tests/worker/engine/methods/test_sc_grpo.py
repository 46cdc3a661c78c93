"""`sc_grpo` against its formula: its factor token by token, and a step's divergences against plain distributions."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.engine.methods.test_methods import make_options, random_inputs
from tests.worker.engine.tiny import Recorder, Verdict, tiny_policy, tiny_settings, tiny_tasks
from worker.engine.credit import assign_credit
from worker.engine.experiment import Experiment
from worker.engine.loop import run


def credit_of(inputs):
    return assign_credit("sc_grpo", inputs, make_options())


@pytest.mark.parametrize("has_teacher", [True, False])
@pytest.mark.parametrize("poison", [math.nan, -math.inf, math.inf])
def test_credit_matches_the_formula(poison, has_teacher):
    inputs = random_inputs(has_teacher=has_teacher, poison=poison)
    found, c = credit_of(inputs).advantages_BT, inputs.divergence_scale
    for b, a in enumerate(inputs.advantages_B.tolist()):
        for t, inside in enumerate(inputs.mask_BT[b].tolist()):
            d = inputs.divergences_BT[b, t].item()
            consulted = bool(inputs.teacher_mask_B[b]) and bool(inputs.teacher_mask_BT[b, t])
            expected = (a * (d / (d + c)) if consulted else a) if inside else 0.0
            assert found[b, t].item() == expected


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-4, 50))
def test_credit_keeps_the_sign_of_the_advantage_and_never_exceeds_it(seed, scale):
    inputs = replace(random_inputs(seed=seed), divergence_scale=scale)
    found, plain = credit_of(inputs).advantages_BT, inputs.advantages_B[:, None]
    assert (found * plain >= 0).all()
    assert (found.abs() <= plain.abs()).all()
    more = credit_of(replace(inputs, divergences_BT=inputs.divergences_BT * 2)).advantages_BT
    assert (more.abs() >= found.abs()).all()


def test_a_sequence_that_is_not_routed_is_grpo_bit_for_bit():
    inputs = replace(random_inputs(poison=math.nan), teacher_mask_B=torch.zeros(9, dtype=torch.bool))
    grpo = assign_credit("grpo", inputs, make_options()).advantages_BT
    assert torch.equal(credit_of(inputs).advantages_BT, grpo)


@pytest.mark.parametrize("missing", ["divergences_BT", "divergence_scale"])
def test_divergences_are_needed(missing):
    with pytest.raises(ValueError, match="needs the divergences of a teacher"):
        credit_of(replace(random_inputs(), **{missing: None}))


def trained(method, *, right):
    """Return what is seen of two steps whose groups have this many right completions of four."""

    def reward(completions):
        return [Verdict(float(index % 4 < right)) for index in range(len(completions))]

    values = {"method": method, "hint": "sibling" if method == "sc_grpo" else "answer", "diagnostic_interval": 0}
    chosen = tiny_settings(**values, max_steps=2, num_generations=4, teacher="base", token_share=1.0)
    recorder = Recorder()
    run(
        Experiment(settings=chosen, policy=tiny_policy(chosen), tasks=tiny_tasks(6), held_out=[], reward=reward),
        observer=recorder,
        resume=None,
    )
    return recorder


@pytest.mark.parametrize("right", [0, 1, 4])
def test_a_run_without_mixed_groups_is_grpo_bit_for_bit(right):
    found, grpo = trained("sc_grpo", right=right), trained("grpo", right=right)
    assert [step.metrics["loss"] for step in found.steps] == [step.metrics["loss"] for step in grpo.steps]
    assert all(step.metrics.get("unheard", 1) == 1 for step in found.steps)


def test_a_run_with_mixed_groups_gives_a_quarter_of_the_tokens_more_than_half_of_their_credit():
    report = trained("sc_grpo", right=2).steps[0]
    assert report.metrics["unheard"] == 0
    weights = [weight for rollout in report.rollouts if rollout.tokens for weight in rollout.tokens.weight]
    above = sum(weight > 0.5 for weight in weights) / len(weights)
    assert 0.2 <= above <= 0.3
    assert all(0 <= weight < 1 for weight in weights)
