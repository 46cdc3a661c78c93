"""Full-vocabulary divergences against the papers' formulas, one probability at a time."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.settings.choices import Divergence
from worker.engine.teacher.divergence import DivergenceOptions, divergence

FORWARD, REVERSE, JSD = Divergence.FORWARD_KL, Divergence.REVERSE_KL, Divergence.JSD


def divergence_options(kind, *, beta=0.5, top_k=0, clip=0.0):
    return DivergenceOptions(kind=kind, beta=beta, top_k=top_k, clip=clip)


def probabilities(logits):
    largest = max(logits)
    weights = [math.exp(x - largest) for x in logits]
    return [weight / math.fsum(weights) for weight in weights]


def naive(student_logits, teacher_logits, *, kind, beta, top_k, clip):
    """One position in plain Python, in probabilities."""
    s, t = probabilities(student_logits), probabilities(teacher_logits)
    if top_k:
        best = sorted(range(len(s)), key=lambda v: -student_logits[v])[:top_k]
        rest = [v for v in range(len(s)) if v not in best]
        s, t = ([p[v] for v in best] + [math.fsum(p[v] for v in rest)] for p in (s, t))
    if kind is JSD and 0 < beta < 1:
        m = [beta * b + (1 - beta) * a for a, b in zip(s, t, strict=True)]
        terms = [beta * b * math.log(b / c) + (1 - beta) * a * math.log(a / c) for a, b, c in zip(s, t, m, strict=True)]
    elif kind is FORWARD or (kind is JSD and beta == 0):
        terms = [b * math.log(b / a) for a, b in zip(s, t, strict=True)]
    else:
        terms = [a * math.log(a / b) for a, b in zip(s, t, strict=True)]
    return math.fsum(min(term, clip) if clip else term for term in terms)


def logits(seed, *, positions=5, vocabulary=13, spread=2.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(positions, vocabulary, generator=generator, dtype=torch.float64) * spread


KINDS = [(FORWARD, 0.5), (REVERSE, 0.5), (JSD, 0.5), (JSD, 0.3), (JSD, 0.0), (JSD, 1.0)]


@pytest.mark.parametrize("top_k", [0, 1, 4, 12])
@pytest.mark.parametrize("clip", [0.0, 0.05])
@pytest.mark.parametrize(("kind", "beta"), KINDS)
def test_divergences_are_the_papers(kind, beta, clip, top_k):
    student, teacher = logits(0), logits(1)
    found = divergence(student, teacher, options=divergence_options(kind, beta=beta, top_k=top_k, clip=clip))
    expected = [
        naive(s, t, kind=kind, beta=beta, top_k=top_k, clip=clip)
        for s, t in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("top_k", [0, 4])
@pytest.mark.parametrize("clip", [0.0, 0.05])
@pytest.mark.parametrize(("kind", "beta"), KINDS)
def test_gradients_reach_the_student_as_finite_differences_and_never_the_teacher(kind, beta, clip, top_k):
    student, teacher = logits(0).requires_grad_(), logits(1).requires_grad_()
    options = divergence_options(kind, beta=beta, top_k=top_k, clip=clip)
    assert torch.autograd.gradcheck(lambda x: divergence(x, teacher.detach(), options=options), (student,))
    divergence(student, teacher, options=options).sum().backward()
    assert teacher.grad is None
    assert student.grad.abs().max() > 1e-3


@pytest.mark.parametrize("clip", [0.0, 0.05])
@pytest.mark.parametrize(("kind", "beta"), KINDS)
def test_as_many_tokens_as_there_are_is_the_whole_vocabulary_and_one_fewer_too(kind, beta, clip):
    student, teacher = logits(0).requires_grad_(), logits(1)
    whole = divergence(student, teacher, options=divergence_options(kind, beta=beta, clip=clip))
    (expected,) = torch.autograd.grad(whole.sum(), student)
    for top_k in (12, 13, 99):
        found = divergence(student, teacher, options=divergence_options(kind, beta=beta, clip=clip, top_k=top_k))
        (gradient,) = torch.autograd.grad(found.sum(), student)
        torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-13)


def test_the_ends_of_the_mixture_are_the_two_kls():
    student, teacher = logits(0), logits(1)
    forward, reverse = (divergence(student, teacher, options=divergence_options(kind)) for kind in (FORWARD, REVERSE))
    assert torch.equal(divergence(student, teacher, options=divergence_options(JSD, beta=0.0)), forward)
    assert torch.equal(divergence(student, teacher, options=divergence_options(JSD, beta=1.0)), reverse)
    assert (forward - reverse).abs().max() > 0.1
    # Just inside, the weighted divergence vanishes as the distance to the end times the KL at that end.
    near = 1e-7
    inside = divergence(student, teacher, options=divergence_options(JSD, beta=near))
    torch.testing.assert_close(inside / near, forward, rtol=1e-4, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    spread=st.floats(0.1, 40),
    kind=st.sampled_from(KINDS),
    top_k=st.integers(0, 14),
)
def test_a_divergence_is_never_negative_and_zero_only_between_equals(seed, spread, kind, top_k):
    options = divergence_options(kind[0], beta=kind[1], top_k=top_k)
    student, teacher = logits(seed, spread=spread), logits(seed + 1, spread=spread)
    assert (divergence(student, teacher, options=options) > -1e-12).all()
    same = divergence(student, student + 3.0, options=options)
    torch.testing.assert_close(same, torch.zeros_like(same), rtol=0, atol=1e-12)


def test_top_k_can_only_lose_what_it_pools():
    student, teacher = logits(0), logits(1)
    found = [divergence(student, teacher, options=divergence_options(FORWARD, top_k=k)) for k in (1, 2, 4, 8, 13)]
    for coarse, fine in itertools.pairwise(found):
        assert (coarse <= fine + 1e-12).all()
    assert (found[0] < found[-1] - 1e-3).any()


@pytest.mark.parametrize(("kind", "beta"), KINDS)
def test_far_tails_in_float32_stay_finite_with_their_gradients(kind, beta):
    student = torch.tensor([[80.0, 0.0, -90.0, -400.0]], requires_grad=True)
    teacher = torch.tensor([[-300.0, 0.0, 60.0, 10.0]])
    for top_k in (0, 1, 2):
        found = divergence(student, teacher, options=divergence_options(kind, beta=beta, top_k=top_k))
        (gradient,) = torch.autograd.grad(found.sum(), student)
        assert found.isfinite().all()
        assert gradient.isfinite().all()


def test_half_precision_logits_are_compared_in_float32():
    student, teacher = logits(0).bfloat16(), logits(1).bfloat16()
    found = divergence(student, teacher, options=divergence_options(JSD))
    assert found.dtype == torch.float32
    exact = divergence(student.double(), teacher.double(), options=divergence_options(JSD))
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)


def test_other_vocabularies_and_the_sampled_form_are_refused():
    with pytest.raises(ValueError, match=r"shapes \(5, 13\) and \(5, 12\)"):
        divergence(logits(0), logits(1, vocabulary=12), options=divergence_options(JSD))
    with pytest.raises(ValueError, match="sampled does not compare distributions"):
        divergence(logits(0), logits(1), options=divergence_options(Divergence.SAMPLED))


def test_the_reverse_kls_gradient_is_the_expected_gradient_of_the_sampled_form():
    """The link to token credit: E_{y ~ S}[ sg(log S - log T) grad log S ] = grad KL(S || T)."""
    student, teacher = logits(0, positions=1).requires_grad_(), logits(1, positions=1)
    divergence(student, teacher, options=divergence_options(REVERSE)).sum().backward()
    s, t = torch.log_softmax(student, -1), torch.log_softmax(teacher, -1)
    (expected,) = torch.autograd.grad((s.exp().detach() * (s - t).detach() * s).sum(), student)
    torch.testing.assert_close(student.grad, expected, rtol=1e-10, atol=1e-12)
