"""Every method against an oracle written from RLSD.md section 3 and the papers' formulas alone.

The oracles go through tokens one by one in plain Python floats, which are float64. Only `exp` and `tanh` come from
torch, because libraries differ in the last bit of these two.
"""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engine.credit import assign_credit, token_advantages
from worker.engine.methods import METHODS
from worker.engine.methods.base import CreditInputs, Options

NAN, INF = math.nan, math.inf
FADING = sorted(name for name, method in METHODS.items() if method.fades)
DISTILLING = sorted(name for name, method in METHODS.items() if method.distils)


def exp(x):
    return torch.exp(torch.tensor(x, dtype=torch.float64)).item()


def tanh(x):
    return torch.tanh(torch.tensor(x, dtype=torch.float64)).item()


def clip(x, low, high):
    return min(max(x, low), high)


def sign(x):
    return (x > 0) - (x < 0)


def rlsd(a, delta, o):
    """RLSD.md section 1: eq. 14, eq. 15, Algorithm 1."""
    weight = 1.0 if o.negative_only and a > 0 else exp(sign(a) * delta)
    return a * ((1 - o.lam) + o.lam * clip(weight, 1 - o.eps_low, 1 + o.eps_high))


def rlcsd(a, e, o):
    """arXiv 2606.11709: r = lambda tanh(e / tau), masked where |r| <= threshold; A + r held on the side of A."""
    r = o.lam * tanh(e / o.contrast_tau)
    if abs(r) <= o.contrast_threshold or (o.negative_only and a > 0):
        r = 0.0
    return max(0.0, a + r) if a > 0 else min(0.0, a + r) if a < 0 else 0.0


def distilled(a, delta, o):
    """RLSD.md section 3: `clip(delta_t, +-c)`, the reward unused."""
    return clip(delta, -o.delta_clip, o.delta_clip)


def summed(a, delta, o):
    """RLSD.md section 3: `A + alpha * delta_t`, with OPSD's clip."""
    return a + o.alpha * clip(delta, -o.delta_clip, o.delta_clip)


ORACLES = {
    "rlsd": (rlsd, "student"),
    "rlsd_template": (rlsd, "contrast"),
    "cepo": (rlsd, "contrast"),
    "rlcsd": (rlcsd, "contrast"),
    "opsd": (distilled, "student"),
    "sdpo": (distilled, "student"),
    "opd": (distilled, "student"),
    "grpo_opsd": (summed, "student"),
}
EXACT = ("rlsd", "cepo", "rlcsd", "rlsd_template")


def oracle(method, evidence, options):
    """`A^_t`, `[B, T]`: the formula at every token inside the mask, from deltas that are 0 where nobody is heard."""
    formula, below = ORACLES[method]
    below_BT = evidence.student_logps_BT if below == "student" else evidence.contrast_logps_BT
    found = []
    for b, a in enumerate(evidence.advantages_B.tolist()):
        row, rejected = [], False
        for t, inside in enumerate(evidence.mask_BT[b].tolist()):
            heard = bool(evidence.teacher_mask_B[b]) and bool(evidence.teacher_mask_BT[b, t])
            delta = evidence.teacher_logps_BT[b, t].item() - below_BT[b, t].item() if inside and heard else 0.0
            silenced = rejected and options.first_error
            rejected = rejected or delta < -1.6
            row.append(formula(a, 0.0 if silenced else delta, options) if inside else 0.0)
        found.append(row)
    return torch.tensor(found, dtype=torch.float64)


def options_of(**changes):
    values = {
        "lam": 0.5,
        "eps_low": 0.2,
        "eps_high": 0.2,
        "normalise": False,
        "first_error": False,
        "negative_only": False,
        "alpha": 0.3,
        "delta_clip": 1.5,
        "contrast_tau": 0.7,
        "contrast_threshold": 0.1,
    }
    return Options(**(values | changes))


def random_evidence(*, seed=0, heard=True, poison=None, dtype=torch.float64, tokens=11):
    """Nine sequences of different lengths, advantages of both signs and 0, log-ratios far beyond every clip."""
    generator = torch.Generator().manual_seed(seed)

    def logps():
        return -torch.rand(9, tokens, generator=generator, dtype=dtype) * 5

    student, teacher, contrast = logps(), logps(), logps()
    close = torch.rand(9, tokens, generator=generator) < 0.5
    teacher = torch.where(close, student + (teacher - student) / 20, teacher)
    contrast = torch.where(close, teacher + (contrast - teacher) / 20, contrast)
    lengths = torch.tensor([tokens, 1, 5, 3, tokens, 2, 7, 4, 9])
    mask = torch.arange(tokens)[None] < lengths[:, None]
    teacher_mask_B = torch.ones(9, dtype=torch.bool) if heard else torch.arange(9) % 3 != 1
    teacher_mask_BT = torch.ones_like(mask) if heard else torch.rand(9, tokens, generator=generator) < 0.7
    if poison is not None:
        student = student.where(mask, poison)
        readable = mask & teacher_mask_B[:, None]
        teacher, contrast = teacher.where(readable, poison), contrast.where(readable, poison)
    return CreditInputs(
        advantages_B=torch.tensor([1.3, -0.7, 0.0, -2.0, 0.4, 1e-3, -0.05, 0.3, -0.3], dtype=dtype),
        student_logps_BT=student,
        teacher_logps_BT=teacher,
        contrast_logps_BT=contrast,
        teacher_mask_B=teacher_mask_B,
        teacher_mask_BT=teacher_mask_BT,
        mask_BT=mask,
    )


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("method", EXACT)
def test_credit_is_the_papers_formula_to_the_last_bit(method, lam, heard):
    for eps_w, first_error, negative_only, poison in itertools.product(
        [(0.2, 0.2), (0.8, 4.0)], [False, True], [False, True], [NAN, -INF, INF]
    ):
        options = options_of(
            lam=lam, eps_low=eps_w[0], eps_high=eps_w[1], first_error=first_error, negative_only=negative_only
        )
        evidence = random_evidence(heard=heard, poison=poison)
        found = assign_credit(method, evidence, options).advantages_BT
        assert found.dtype == torch.float64
        assert torch.equal(found, oracle(method, evidence, options))


@pytest.mark.parametrize("first_error", [True, False])
@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("poison", [NAN, -INF, INF])
@pytest.mark.parametrize("method", DISTILLING)
def test_distilled_credit_is_what_the_oracle_says(method, poison, heard, first_error):
    options = options_of(first_error=first_error)
    evidence = random_evidence(heard=heard, poison=poison)
    found = assign_credit(method, evidence, options)
    torch.testing.assert_close(found.advantages_BT, oracle(method, evidence, options), rtol=1e-14, atol=1e-15)
    assert (found.clipped_BT != 0).any()
    assert torch.equal(found.weights_BT, torch.ones_like(found.weights_BT))


@pytest.mark.parametrize("method", sorted(ORACLES))
def test_the_numbers_of_the_oracles_differ_enough_to_tell_formulas_apart(method):
    """Guards the tests above: clips bind on both sides, thresholds part tokens, and no two formulas agree."""
    evidence, options = random_evidence(), options_of()
    own = oracle(method, evidence, options)
    assert (own != evidence.advantages_B[:, None]).float().mean() > 0.2
    twins = [{"rlsd_template", "cepo"}, {"opsd", "sdpo", "opd"}]
    for other in ORACLES:
        same = other == method or any({other, method} <= twin for twin in twins)
        assert torch.equal(own, oracle(other, evidence, options)) == same


@pytest.mark.parametrize("method", sorted(METHODS))
def test_float32_agrees_with_the_oracle_as_far_as_float32_goes(method):
    narrow = random_evidence(dtype=torch.float32)
    evidence = CreditInputs(
        advantages_B=narrow.advantages_B.double(),
        student_logps_BT=narrow.student_logps_BT.double(),
        teacher_logps_BT=narrow.teacher_logps_BT.double(),
        contrast_logps_BT=narrow.contrast_logps_BT.double(),
        teacher_mask_B=narrow.teacher_mask_B,
        teacher_mask_BT=narrow.teacher_mask_BT,
        mask_BT=narrow.mask_BT,
    )
    found = assign_credit(method, narrow, options_of()).advantages_BT
    expected = assign_credit(method, evidence, options_of()).advantages_BT
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", FADING)
@pytest.mark.parametrize("first_error", [True, False])
def test_at_lambda_zero_every_weighting_method_is_grpo_bit_for_bit(method, first_error):
    for poison in (NAN, -INF, INF):
        evidence = random_evidence(heard=False, poison=poison)
        options = options_of(lam=0.0, first_error=first_error, normalise=True)
        found, grpo = assign_credit(method, evidence, options), assign_credit("grpo", evidence, options)
        assert torch.equal(found.advantages_BT, grpo.advantages_BT)
        assert torch.equal(grpo.advantages_BT, evidence.advantages_B[:, None].where(evidence.mask_BT, 0.0))


@pytest.mark.parametrize("method", FADING)
def test_a_sequence_without_its_hint_keeps_its_advantage(method):
    evidence = random_evidence(heard=False, poison=NAN)
    for lam in (0.3, 0.5, 1.0):
        found = assign_credit(method, evidence, options_of(lam=lam)).advantages_BT
        alone = ~evidence.teacher_mask_B
        plain = evidence.advantages_B[:, None].where(evidence.mask_BT, 0.0)
        assert torch.equal(found[alone], plain[alone])
        assert not torch.equal(found, plain)


@pytest.mark.parametrize("method", ["opsd", "sdpo", "opd"])
def test_a_distilled_sequence_without_its_hint_has_no_signal_and_no_reward_is_read(method):
    evidence = random_evidence(heard=False, poison=NAN)
    found = assign_credit(method, evidence, options_of()).advantages_BT
    assert (found[~evidence.teacher_mask_B] == 0).all()
    assert (found[2] != 0).any(), "an advantage of 0 is no matter"


@pytest.mark.parametrize("method", sorted(ORACLES))
def test_a_lost_signal_fails_loudly(method):
    evidence = random_evidence()
    lost = evidence.teacher_logps_BT.clone()
    lost[0, 0] = NAN
    values = {name: getattr(evidence, name) for name in CreditInputs.__dataclass_fields__}
    with pytest.raises(ValueError, match="not a finite number"):
        assign_credit(method, CreditInputs(**(values | {"teacher_logps_BT": lost})), options_of())
    with pytest.raises(ValueError, match="needs log-probabilities of its teacher"):
        assign_credit(method, CreditInputs(**(values | {"teacher_logps_BT": None})), options_of())
    if METHODS[method].contrast is not None:
        with pytest.raises(ValueError, match="needs log-probabilities of its teacher"):
            assign_credit(method, CreditInputs(**(values | {"contrast_logps_BT": None})), options_of())


def one_sequence(advantage, triples):
    """Evidence of one sequence from (student, teacher, contrast) log-probabilities."""
    columns = torch.tensor(triples, dtype=torch.float64).T
    everywhere = torch.ones(1, len(triples), dtype=torch.bool)
    return CreditInputs(
        advantages_B=torch.tensor([advantage], dtype=torch.float64),
        student_logps_BT=columns[0:1],
        teacher_logps_BT=columns[1:2],
        contrast_logps_BT=columns[2:3],
        teacher_mask_B=torch.ones(1, dtype=torch.bool),
        teacher_mask_BT=everywhere,
        mask_BT=everywhere,
    )


logp = st.floats(-30, 0, width=32)
triples = st.lists(st.tuples(logp, logp, logp), min_size=1, max_size=6)


@settings(max_examples=120, deadline=None)
@given(
    method=st.sampled_from(FADING),
    advantage=st.floats(-3, 3, width=32),
    triples=triples,
    lam=st.floats(0, 1),
    low=st.floats(0, 1),
    high=st.floats(0, 5),
    first_error=st.booleans(),
    negative_only=st.booleans(),
)
def test_credit_that_fades_keeps_the_sign_of_the_advantage_and_its_bounds(
    method, advantage, triples, lam, low, high, first_error, negative_only
):
    options = options_of(lam=lam, eps_low=low, eps_high=high, first_error=first_error, negative_only=negative_only)
    evidence = one_sequence(advantage, triples)
    found = assign_credit(method, evidence, options).advantages_BT
    assert (found * sign(advantage) >= 0).all()
    if advantage == 0:
        assert torch.equal(found, torch.zeros_like(found))
    elif method == "rlcsd":
        assert ((found - advantage).abs() <= lam + 1e-12).all()
    else:
        assert (found / advantage >= 1 - lam * low - 1e-9).all()
        assert (found / advantage <= 1 + lam * high + 1e-9).all()
    if negative_only and advantage > 0:
        assert torch.equal(found, torch.full_like(found, advantage))
    if first_error:
        below = evidence.student_logps_BT if method == "rlsd" else evidence.contrast_logps_BT
        behind = torch.cat([torch.zeros(1), (evidence.teacher_logps_BT - below < -1.6)[0].float()]).cumsum(0)[:-1] > 0
        assert torch.equal(found[0, behind], torch.full_like(found[0, behind], advantage))
    free = assign_credit(method, evidence, options_of(lam=0.0)).advantages_BT
    assert torch.equal(free, assign_credit("grpo", evidence, options).advantages_BT)


def test_without_weight_a_teacher_is_not_asked():
    asked = {
        (lam, alpha): {name for name, method in METHODS.items() if method.speaks_at(lam, alpha=alpha)}
        for lam, alpha in itertools.product((0.0, 0.5), repeat=2)
    }
    assert asked[0.5, 0.5] == set(METHODS) - {"grpo"}
    assert asked[0.5, 0.0] == asked[0.5, 0.5] - {"grpo_opsd"}
    assert asked[0.0, 0.5] == asked[0.5, 0.5] - set(FADING)
    assert asked[0.0, 0.0] == {"opsd", "sdpo", "opd"}


def test_both_objectives_added_up_are_grpo_where_alpha_is_zero_and_need_no_teacher():
    evidence = replace(random_evidence(), teacher_logps_BT=None)
    found, expected = (assign_credit(name, evidence, options_of(alpha=0.0)) for name in ("grpo_opsd", "grpo"))
    assert torch.equal(found.advantages_BT, expected.advantages_BT)
    with pytest.raises(ValueError, match="there are none"):
        assign_credit("grpo_opsd", evidence, options_of(alpha=0.1))


@settings(max_examples=60, deadline=None)
@given(advantage=st.floats(-3, 3, width=32), triples=triples, bound=st.floats(0.01, 9), first_error=st.booleans())
def test_distilled_credit_is_bounded_and_silent_behind_the_first_error(advantage, triples, bound, first_error):
    options = options_of(delta_clip=bound, first_error=first_error)
    evidence = one_sequence(advantage, triples)
    found = assign_credit("opsd", evidence, options).advantages_BT
    assert (found.abs() <= bound).all()
    both = assign_credit("grpo_opsd", evidence, options).advantages_BT
    torch.testing.assert_close(both, advantage + 0.3 * found, rtol=0, atol=1e-12)
    if first_error:
        delta = evidence.teacher_logps_BT - evidence.student_logps_BT
        behind = torch.cat([torch.zeros(1), (delta < -1.6)[0].float()]).cumsum(0)[:-1] > 0
        assert (found[0, behind] == 0).all()


def test_normalised_weights_of_every_weighting_method_have_mean_one():
    for method in ("rlsd", "cepo", "rlsd_template"):
        evidence = random_evidence()
        options = options_of(lam=1.0, eps_low=0.8, eps_high=4.0, normalise=True)
        weights = assign_credit(method, evidence, options).weights_BT
        means = weights.where(evidence.mask_BT, 0.0).sum(1) / evidence.mask_BT.sum(1)
        torch.testing.assert_close(means, torch.ones_like(means), rtol=0, atol=1e-14)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_no_gradient_flows_through_any_credit(method):
    evidence = random_evidence()
    logps = [evidence.student_logps_BT, evidence.teacher_logps_BT, evidence.contrast_logps_BT]
    student, teacher, contrast = (values.clone().requires_grad_() for values in logps)
    found = token_advantages(
        method, evidence.advantages_B, student, teacher, evidence.mask_BT, lam=0.5, eps_w=0.2, contrast_logps=contrast
    )
    assert not found.requires_grad


def test_the_public_function_hears_the_teacher_where_it_is_told_to():
    evidence = random_evidence(heard=False)
    for heard in (evidence.teacher_mask_B, evidence.teacher_mask_BT):
        values = {name: getattr(evidence, name) for name in CreditInputs.__dataclass_fields__}
        everywhere = {
            "teacher_mask_B": torch.ones(9, dtype=torch.bool),
            "teacher_mask_BT": torch.ones_like(evidence.mask_BT),
        }
        told = everywhere | {"teacher_mask_B" if heard.dim() == 1 else "teacher_mask_BT": heard}
        found = token_advantages(
            "cepo",
            evidence.advantages_B,
            evidence.student_logps_BT,
            evidence.teacher_logps_BT,
            evidence.mask_BT,
            lam=0.5,
            eps_w=0.2,
            contrast_logps=evidence.contrast_logps_BT,
            heard=heard,
        )
        assert torch.equal(found, oracle("cepo", CreditInputs(**(values | told)), options_of()))
