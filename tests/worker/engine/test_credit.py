"""Credit against an independent oracle, and the properties derived in docs/rlsd.md section 1."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engine.credit import assign_credit, lambda_at, token_advantages
from worker.engine.methods.base import CreditInputs, Options

NAN, INF = math.nan, math.inf


def oracle(advantage, student, teacher, mask, *, lam, low, high, normalise, first_error):
    """Compute the token advantages of one sequence in plain Python, as specified."""
    weights, rejected = [], False
    for s, t, inside in zip(student, teacher, mask, strict=True):
        if not inside:
            continue
        sign = (advantage > 0) - (advantage < 0)
        weight = 1.0 if (rejected and first_error) else math.exp(sign * (t - s))
        rejected = rejected or (t - s) < -1.6
        weights.append(min(max(weight, 1 - low), 1 + high))
    mean = sum(weights) / len(weights) if normalise and weights else 1.0
    found, index = [], 0
    for inside in mask:
        if inside:
            found.append(advantage * ((1 - lam) + lam * weights[index] / mean))
            index += 1
        else:
            found.append(0.0)
    return found


def make_options(*, lam, eps_w, normalise=False, first_error=False):
    """Return options whose weights are within `eps_w` of 1, a number or a pair."""
    low, high = eps_w if isinstance(eps_w, tuple) else (eps_w, eps_w)
    return Options(
        lam=lam,
        weight_low=low,
        weight_high=high,
        normalise=normalise,
        first_error=first_error,
        negative_only=False,
        alpha=0.3,
        delta_clip=5.0,
        contrast_tau=0.02,
        contrast_threshold=0.02,
        alpha_prefix=0.5,
        prefix_margin=0,
        success_above=0.5,
    )


def credit_of(advantages, student, teacher, mask, *, low, high, normalise=False, first_error=False):
    """Return the credit of `rlsd` at lambda 1, with a teacher that is used everywhere."""
    inputs = CreditInputs(
        advantages_B=advantages,
        student_logps_BT=student,
        teacher_logps_BT=teacher,
        contrast_logps_BT=None,
        teacher_mask_B=torch.ones(len(mask), dtype=torch.bool),
        teacher_mask_BT=torch.ones_like(mask),
        mask_BT=mask,
        rewards_B=None,
        baselines_B=None,
        divergences_BT=None,
        divergence_scale=None,
        practised_B=torch.zeros(len(mask), dtype=torch.bool),
    )
    options = make_options(lam=1.0, eps_w=(low, high), normalise=normalise, first_error=first_error)
    return assign_credit("rlsd", inputs, options)


def random_batch(dtype, *, seed=0, sequences=6, tokens=9):
    generator = torch.Generator().manual_seed(seed)
    student = -torch.rand(sequences, tokens, generator=generator, dtype=dtype) * 4
    teacher = student + torch.randn(sequences, tokens, generator=generator, dtype=dtype) * 1.5
    lengths = torch.tensor([tokens, 1, 5, 3, tokens, 2])
    mask = torch.arange(tokens)[None] < lengths[:, None]
    advantages = torch.tensor([1.3, -0.7, 0.0, -2.0, 0.4, 1.0], dtype=dtype)
    return advantages, student, teacher, mask


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lam", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("eps_w", [0.2, (0.8, 4.0)])
@pytest.mark.parametrize(("normalise", "first_error"), [(False, False), (True, False), (False, True), (True, True)])
def test_rlsd_matches_the_oracle(dtype, lam, eps_w, normalise, first_error):
    advantages, student, teacher, mask = random_batch(dtype)
    low, high = eps_w if isinstance(eps_w, tuple) else (eps_w, eps_w)
    found = token_advantages(
        "rlsd",
        advantages,
        student,
        teacher,
        mask,
        make_options(lam=lam, eps_w=eps_w, normalise=normalise, first_error=first_error),
    )
    expected = [
        oracle(a, s, t, m, lam=lam, low=low, high=high, normalise=normalise, first_error=first_error)
        for a, s, t, m in zip(advantages.tolist(), student.tolist(), teacher.tolist(), mask.tolist(), strict=True)
    ]
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert found.dtype == dtype
    torch.testing.assert_close(found, torch.tensor(expected, dtype=dtype), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("poison", [NAN, -INF, INF])
def test_lambda_zero_is_grpo_bit_for_bit_whatever_the_masked_values(poison):
    advantages, student, teacher, mask = random_batch(torch.float32)
    student, teacher = student.where(mask, poison), teacher.where(mask, poison)
    expected = advantages[:, None].expand_as(mask).where(mask, 0.0)
    rlsd = token_advantages("rlsd", advantages, student, teacher, mask, make_options(lam=0.0, eps_w=0.2))
    grpo = token_advantages("grpo", advantages, student, None, mask, make_options(lam=0.5, eps_w=0.2))
    without_teacher = token_advantages("rlsd", advantages, student, None, mask, make_options(lam=0.0, eps_w=0.2))
    assert torch.equal(rlsd, expected)
    assert torch.equal(grpo, expected)
    assert torch.equal(without_teacher, expected)


@pytest.mark.parametrize("poison", [NAN, -INF, INF])
@pytest.mark.parametrize(("normalise", "first_error"), [(False, False), (True, True)])
def test_masked_values_do_not_leak_into_credit(poison, normalise, first_error):
    advantages, student, teacher, mask = random_batch(torch.float32)
    options = {"lam": 0.5, "eps_w": (0.8, 4.0), "normalise": normalise, "first_error": first_error}
    clean = token_advantages("rlsd", advantages, student, teacher, mask, make_options(**options))
    dirty = token_advantages(
        "rlsd", advantages, student.where(mask, poison), teacher.where(mask, poison), mask, make_options(**options)
    )
    assert torch.equal(clean, dirty)
    assert clean.isfinite().all()


numbers = st.floats(-3, 3, width=32)


@settings(max_examples=150, deadline=None)
@given(
    advantage=numbers,
    pairs=st.lists(st.tuples(st.floats(-20, 0, width=32), st.floats(-20, 0, width=32)), min_size=1, max_size=6),
    lam=st.floats(0, 1),
    low=st.floats(0, 1),
    high=st.floats(0, 5),
    first_error=st.booleans(),
)
def test_the_sign_is_that_of_the_advantage_and_the_magnitude_is_bounded(advantage, pairs, lam, low, high, first_error):
    student = torch.tensor([[s for s, _ in pairs]], dtype=torch.float64)
    teacher = torch.tensor([[t for _, t in pairs]], dtype=torch.float64)
    mask = torch.ones(1, len(pairs), dtype=torch.bool)
    found = token_advantages(
        "rlsd",
        torch.tensor([advantage], dtype=torch.float64),
        student,
        teacher,
        mask,
        make_options(lam=lam, eps_w=(low, high), first_error=first_error),
    )
    if advantage == 0:
        assert torch.equal(found, torch.zeros_like(found))
        return
    share = found / advantage
    assert (share >= -1e-12).all()
    assert (share >= 1 - lam * low - 1e-9).all()
    assert (share <= 1 + lam * high + 1e-9).all()


def test_both_ends_of_the_bounds_are_reached():
    mask = torch.ones(2, 2, dtype=torch.bool)
    teacher = torch.tensor([[-9.0, -0.1]] * 2)
    student = torch.tensor([[-0.1, -9.0]] * 2)
    found = token_advantages(
        "rlsd", torch.tensor([2.0, -2.0]), student, teacher, mask, make_options(lam=0.5, eps_w=(0.2, 0.4))
    )
    torch.testing.assert_close(found, torch.tensor([[1.8, 2.4], [-2.4, -1.8]]))


def test_an_impossible_token_is_clipped_and_a_zero_advantage_stays_zero():
    mask = torch.ones(3, 1, dtype=torch.bool)
    found = token_advantages(
        "rlsd",
        torch.tensor([1.0, -1.0, 0.0]),
        torch.zeros(3, 1),
        torch.full((3, 1), -INF),
        mask,
        make_options(lam=1.0, eps_w=0.2),
    )
    torch.testing.assert_close(found, torch.tensor([[0.8], [-1.2], [0.0]]))


def test_a_log_probability_of_exactly_zero_is_not_missing():
    mask = torch.ones(1, 2, dtype=torch.bool)
    student, teacher = torch.tensor([[0.0, -0.1]]), torch.tensor([[-0.1, 0.0]])
    credit = credit_of(torch.ones(1), student, teacher, mask, low=0.2, high=0.2)
    torch.testing.assert_close(credit.weights_BT, torch.tensor([[math.exp(-0.1), math.exp(0.1)]]))


def test_no_gradient_flows_through_the_weight():
    advantages, student, teacher, mask = random_batch(torch.float32)
    found = token_advantages(
        "rlsd", advantages, student.requires_grad_(), teacher.requires_grad_(), mask, make_options(lam=1.0, eps_w=0.2)
    )
    assert not found.requires_grad


def test_the_teacher_is_ignored_after_the_first_firm_rejection():
    mask = torch.ones(1, 4, dtype=torch.bool)
    student = torch.full((1, 4), -1.0)
    teacher = student + torch.tensor([[0.3, -2.0, 0.9, -3.0]])
    credit = credit_of(-torch.ones(1), student, teacher, mask, low=0.9, high=9.0, first_error=True)
    torch.testing.assert_close(credit.weights_BT, torch.tensor([[math.exp(-0.3), math.exp(2.0), 1.0, 1.0]]))


def test_normalised_weights_have_mean_one_over_each_sequence():
    advantages, student, teacher, mask = random_batch(torch.float64)
    credit = credit_of(advantages, student, teacher, mask, low=0.8, high=4.0, normalise=True)
    means = credit.weights_BT.where(mask, 0.0).sum(1) / mask.sum(1)
    torch.testing.assert_close(means, torch.ones_like(means))


def test_a_missing_teacher_an_unknown_method_and_nan_log_probabilities_raise():
    advantages, student, teacher, mask = random_batch(torch.float32)
    with pytest.raises(ValueError, match="needs the log-probabilities of a teacher"):
        token_advantages("rlsd", advantages, student, None, mask, make_options(lam=0.5, eps_w=0.2))
    with pytest.raises(ValueError, match=r"grpo, rlsd.*'grop'"):
        token_advantages("grop", advantages, student, teacher, mask, make_options(lam=0.5, eps_w=0.2))
    teacher[0, 0] = NAN
    with pytest.raises(ValueError, match="not a finite number"):
        token_advantages("rlsd", advantages, student, teacher, mask, make_options(lam=0.5, eps_w=0.2))


def test_lambda_decays_linearly_to_zero_or_is_constant():
    assert [lambda_at(step, lam=0.5, decay_steps=4) for step in (1, 2, 3, 4, 5, 9)] == [0.5, 0.375, 0.25, 0.125, 0, 0]
    assert lambda_at(1000, lam=0.5, decay_steps=0) == 0.5
