"""Every method against an independent oracle, from docs/rlsd.md section 3 and the papers' formulas.

The oracles go through tokens one by one in plain Python floats, which are float64. Only `exp` and `tanh` come from
torch, because libraries differ in the last bit of these two.
"""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core.methods import METHODS, TeacherKind
from worker.engine.credit import assign_credit, token_advantages
from worker.engine.methods import METHODS as CREDITING
from worker.engine.methods.base import CreditInputs, Options

NAN, INF = math.nan, math.inf
LAMBDA_METHODS = sorted(name for name, method in METHODS.items() if method.fades)
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
    """docs/rlsd.md section 1: eq. 14, eq. 15, Algorithm 1."""
    weight = 1.0 if o.negative_only and a > 0 else exp(sign(a) * delta)
    return a * ((1 - o.lam) + o.lam * clip(weight, 1 - o.weight_low, 1 + o.weight_high))


def rlcsd(a, e, o):
    """arXiv 2606.11709: r = lambda tanh(e / tau), masked where |r| <= threshold; A + r keeps the sign of A."""
    r = o.lam * tanh(e / o.contrast_tau)
    if abs(r) <= o.contrast_threshold or (o.negative_only and a > 0):
        r = 0.0
    return max(0.0, a + r) if a > 0 else min(0.0, a + r) if a < 0 else 0.0


def distilled(a, delta, o):
    """docs/rlsd.md section 3: `clip(delta_t, +-c)`, the reward unused."""
    return clip(delta, -o.delta_clip, o.delta_clip)


def grpo_opsd(a, delta, o):
    """docs/rlsd.md section 3: `A + alpha * delta_t`, with OPSD's clip."""
    return a + o.alpha * clip(delta, -o.delta_clip, o.delta_clip)


ORACLES = {
    "rlsd": (rlsd, "student"),
    "rlsd_template": (rlsd, "contrast"),
    "cepo": (rlsd, "contrast"),
    "rlcsd": (rlcsd, "contrast"),
    "opsd": (distilled, "student"),
    "sdpo": (distilled, "student"),
    "opd": (distilled, "student"),
    "grpo_opsd": (grpo_opsd, "student"),
}
EXACT = ("rlsd", "cepo", "rlcsd", "rlsd_template")
TAUGHT = {name for name, method in METHODS.items() if method.teacher is not TeacherKind.NONE}


def test_every_method_with_a_teacher_has_an_oracle_here_or_in_a_file_of_its_own():
    own = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert ORACLES.keys() | own >= TAUGHT


def oracle(method, inputs, options):
    """Compute `A^_t`, `[B, T]`, by the formula at every token in the mask, with delta 0 where the teacher is masked."""
    formula, below = ORACLES[method]
    below_BT = inputs.student_logps_BT if below == "student" else inputs.contrast_logps_BT
    found = []
    for b, a in enumerate(inputs.advantages_B.tolist()):
        row, rejected = [], False
        for t, inside in enumerate(inputs.mask_BT[b].tolist()):
            has_teacher = bool(inputs.teacher_mask_B[b]) and bool(inputs.teacher_mask_BT[b, t])
            delta = inputs.teacher_logps_BT[b, t].item() - below_BT[b, t].item() if inside and has_teacher else 0.0
            masked = rejected and options.first_error
            rejected = rejected or delta < -1.6
            row.append(formula(a, 0.0 if masked else delta, options) if inside else 0.0)
        found.append(row)
    return torch.tensor(found, dtype=torch.float64)


def make_options(**changes):
    values = {
        "lam": 0.5,
        "weight_low": 0.2,
        "weight_high": 0.2,
        "normalise": False,
        "first_error": False,
        "negative_only": False,
        "alpha": 0.3,
        "delta_clip": 1.5,
        "contrast_tau": 0.7,
        "contrast_threshold": 0.1,
        "alpha_prefix": 0.5,
        "prefix_margin": 0,
        "success_above": 0.5,
    }
    return Options(**(values | changes))


def random_inputs(*, seed=0, has_teacher=True, poison=None, dtype=torch.float64, tokens=11):
    """Return nine sequences of different lengths, advantages of both signs and 0, log-ratios far beyond every clip."""
    generator = torch.Generator().manual_seed(seed)

    def logps():
        return -torch.rand(9, tokens, generator=generator, dtype=dtype) * 5

    student, teacher, contrast = logps(), logps(), logps()
    close = torch.rand(9, tokens, generator=generator) < 0.5
    teacher = torch.where(close, student + (teacher - student) / 20, teacher)
    contrast = torch.where(close, teacher + (contrast - teacher) / 20, contrast)
    lengths = torch.tensor([tokens, 1, 5, 3, tokens, 2, 7, 4, 9])
    mask = torch.arange(tokens)[None] < lengths[:, None]
    teacher_mask_B = torch.ones(9, dtype=torch.bool) if has_teacher else torch.arange(9) % 3 != 1
    teacher_mask_BT = torch.ones_like(mask) if has_teacher else torch.rand(9, tokens, generator=generator) < 0.7
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
        rewards_B=torch.tensor([1.0, 0.0, 0.5, 0.2, 0.9, NAN, 0.0, 0.1, 0.6], dtype=dtype),
        baselines_B=torch.tensor([0.4] * 3 + [0.7] * 3 + [0.2] * 3, dtype=dtype),
        divergences_BT=(teacher - student).abs(),
        divergence_scale=0.7,
        practised_B=torch.zeros(9, dtype=torch.bool),
    )


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("has_teacher", [True, False])
@pytest.mark.parametrize("method", EXACT)
def test_credit_is_bit_identical_to_the_papers_formula(method, lam, has_teacher):
    for eps_w, first_error, negative_only, poison in itertools.product(
        [(0.2, 0.2), (0.8, 4.0)], [False, True], [False, True], [NAN, -INF, INF]
    ):
        options = make_options(
            lam=lam, weight_low=eps_w[0], weight_high=eps_w[1], first_error=first_error, negative_only=negative_only
        )
        inputs = random_inputs(has_teacher=has_teacher, poison=poison)
        found = assign_credit(method, inputs, options).advantages_BT
        assert found.dtype == torch.float64
        assert torch.equal(found, oracle(method, inputs, options))


@pytest.mark.parametrize("first_error", [True, False])
@pytest.mark.parametrize("has_teacher", [True, False])
@pytest.mark.parametrize("poison", [NAN, -INF, INF])
@pytest.mark.parametrize("method", DISTILLING)
def test_distilled_credit_matches_the_oracle(method, poison, has_teacher, first_error):
    options = make_options(first_error=first_error)
    inputs = random_inputs(has_teacher=has_teacher, poison=poison)
    found = assign_credit(method, inputs, options)
    torch.testing.assert_close(found.advantages_BT, oracle(method, inputs, options), rtol=1e-14, atol=1e-15)
    assert (found.clipped_BT != 0).any()
    assert torch.equal(found.weights_BT, torch.ones_like(found.weights_BT))


@pytest.mark.parametrize("method", sorted(ORACLES))
def test_the_inputs_distinguish_the_oracles(method):
    """Check the test data: clips are active on both sides, thresholds separate tokens, no two formulas agree."""
    inputs, options = random_inputs(), make_options()
    own = oracle(method, inputs, options)
    assert (own != inputs.advantages_B[:, None]).float().mean() > 0.2
    same_formula = [{"rlsd_template", "cepo"}, {"opsd", "sdpo", "opd"}]
    for other in ORACLES:
        same = other == method or any({other, method} <= twin for twin in same_formula)
        assert torch.equal(own, oracle(other, inputs, options)) == same


@pytest.mark.parametrize("method", sorted(CREDITING))
def test_float32_agrees_with_the_oracle_to_float32_precision(method):
    narrow = random_inputs(dtype=torch.float32)
    inputs = CreditInputs(
        advantages_B=narrow.advantages_B.double(),
        student_logps_BT=narrow.student_logps_BT.double(),
        teacher_logps_BT=narrow.teacher_logps_BT.double(),
        contrast_logps_BT=narrow.contrast_logps_BT.double(),
        teacher_mask_B=narrow.teacher_mask_B,
        teacher_mask_BT=narrow.teacher_mask_BT,
        mask_BT=narrow.mask_BT,
        rewards_B=narrow.rewards_B.double(),
        baselines_B=narrow.baselines_B.double(),
        divergences_BT=narrow.divergences_BT.double(),
        divergence_scale=narrow.divergence_scale,
        practised_B=narrow.practised_B,
    )
    found = assign_credit(method, narrow, make_options()).advantages_BT
    expected = assign_credit(method, inputs, make_options()).advantages_BT
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", LAMBDA_METHODS)
@pytest.mark.parametrize("first_error", [True, False])
def test_at_lambda_zero_every_weighting_method_is_grpo_bit_for_bit(method, first_error):
    for poison in (NAN, -INF, INF):
        inputs = random_inputs(has_teacher=False, poison=poison)
        options = make_options(lam=0.0, first_error=first_error, normalise=True)
        found, grpo = assign_credit(method, inputs, options), assign_credit("grpo", inputs, options)
        assert torch.equal(found.advantages_BT, grpo.advantages_BT)
        assert torch.equal(grpo.advantages_BT, inputs.advantages_B[:, None].where(inputs.mask_BT, 0.0))


@pytest.mark.parametrize("method", LAMBDA_METHODS)
def test_a_sequence_without_its_hint_keeps_its_advantage(method):
    inputs = random_inputs(has_teacher=False, poison=NAN)
    for lam in (0.3, 0.5, 1.0):
        found = assign_credit(method, inputs, make_options(lam=lam)).advantages_BT
        alone = ~inputs.teacher_mask_B
        plain = inputs.advantages_B[:, None].where(inputs.mask_BT, 0.0)
        assert torch.equal(found[alone], plain[alone])
        assert not torch.equal(found, plain)


@pytest.mark.parametrize("method", ["opsd", "sdpo", "opd"])
def test_a_distilled_sequence_without_its_hint_has_no_signal_and_the_reward_is_ignored(method):
    inputs = random_inputs(has_teacher=False, poison=NAN)
    found = assign_credit(method, inputs, make_options()).advantages_BT
    assert (found[~inputs.teacher_mask_B] == 0).all()
    assert (found[2] != 0).any(), "an advantage of 0 does not matter"


@pytest.mark.parametrize("method", [*sorted(ORACLES), "good_prefix", "sc_grpo"])
def test_missing_or_nan_log_probabilities_raise(method):
    inputs = random_inputs()
    lost = inputs.teacher_logps_BT.clone()
    lost[0, 0] = NAN
    values = {name: getattr(inputs, name) for name in CreditInputs.__dataclass_fields__}
    with pytest.raises(ValueError, match="not a finite number"):
        assign_credit(method, CreditInputs(**(values | {"teacher_logps_BT": lost})), make_options())
    with pytest.raises(ValueError, match="needs the log-probabilities of a teacher"):
        assign_credit(method, CreditInputs(**(values | {"teacher_logps_BT": None})), make_options())
    if METHODS[method].contrast is not None:
        with pytest.raises(ValueError, match="needs the log-probabilities of a teacher"):
            assign_credit(method, CreditInputs(**(values | {"contrast_logps_BT": None})), make_options())


def one_sequence(advantage, triples):
    """Return the inputs of one sequence from (student, teacher, contrast) log-probabilities."""
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
        rewards_B=None,
        baselines_B=None,
        divergences_BT=None,
        divergence_scale=None,
        practised_B=torch.zeros(1, dtype=torch.bool),
    )


logp = st.floats(-30, 0, width=32)
triples = st.lists(st.tuples(logp, logp, logp), min_size=1, max_size=6)


@settings(max_examples=120, deadline=None)
@given(
    method=st.sampled_from(LAMBDA_METHODS),
    advantage=st.floats(-3, 3, width=32),
    triples=triples,
    lam=st.floats(0, 1),
    low=st.floats(0, 1),
    high=st.floats(0, 5),
    first_error=st.booleans(),
    negative_only=st.booleans(),
)
def test_methods_with_lambda_keep_the_sign_of_the_advantage_and_its_bounds(
    method, advantage, triples, lam, low, high, first_error, negative_only
):
    options = make_options(
        lam=lam, weight_low=low, weight_high=high, first_error=first_error, negative_only=negative_only
    )
    inputs = one_sequence(advantage, triples)
    found = assign_credit(method, inputs, options).advantages_BT
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
        below = inputs.student_logps_BT if method == "rlsd" else inputs.contrast_logps_BT
        after = torch.cat([torch.zeros(1), (inputs.teacher_logps_BT - below < -1.6)[0].float()]).cumsum(0)[:-1] > 0
        assert torch.equal(found[0, after], torch.full_like(found[0, after], advantage))
    free = assign_credit(method, inputs, make_options(lam=0.0)).advantages_BT
    assert torch.equal(free, assign_credit("grpo", inputs, options).advantages_BT)


def test_no_teacher_is_needed_where_its_coefficient_is_zero():
    needing = {
        (lam, alpha): {name for name, method in METHODS.items() if method.needs_teacher(lam, alpha=alpha)}
        for lam, alpha in itertools.product((0.0, 0.5), repeat=2)
    }
    assert needing[0.5, 0.5] == TAUGHT
    assert needing[0.5, 0.0] == needing[0.5, 0.5] - {"grpo_opsd"}
    assert needing[0.0, 0.5] == needing[0.5, 0.5] - set(LAMBDA_METHODS)
    assert needing[0.0, 0.0] == {"opsd", "sdpo", "opd", "good_prefix", "sc_grpo"}


def test_grpo_opsd_with_alpha_zero_is_grpo_and_needs_no_teacher():
    inputs = replace(random_inputs(), teacher_logps_BT=None)
    found, expected = (assign_credit(name, inputs, make_options(alpha=0.0)) for name in ("grpo_opsd", "grpo"))
    assert torch.equal(found.advantages_BT, expected.advantages_BT)
    with pytest.raises(ValueError, match="there are none"):
        assign_credit("grpo_opsd", inputs, make_options(alpha=0.1))


@settings(max_examples=60, deadline=None)
@given(advantage=st.floats(-3, 3, width=32), triples=triples, bound=st.floats(0.01, 9), first_error=st.booleans())
def test_distilled_credit_is_bounded_and_zero_after_the_first_error(advantage, triples, bound, first_error):
    options = make_options(delta_clip=bound, first_error=first_error)
    inputs = one_sequence(advantage, triples)
    found = assign_credit("opsd", inputs, options).advantages_BT
    assert (found.abs() <= bound).all()
    both = assign_credit("grpo_opsd", inputs, options).advantages_BT
    torch.testing.assert_close(both, advantage + 0.3 * found, rtol=0, atol=1e-12)
    if first_error:
        delta = inputs.teacher_logps_BT - inputs.student_logps_BT
        after = torch.cat([torch.zeros(1), (delta < -1.6)[0].float()]).cumsum(0)[:-1] > 0
        assert (found[0, after] == 0).all()


def test_normalised_weights_of_every_weighting_method_have_mean_one():
    for method in ("rlsd", "cepo", "rlsd_template"):
        inputs = random_inputs()
        options = make_options(lam=1.0, weight_low=0.8, weight_high=4.0, normalise=True)
        weights = assign_credit(method, inputs, options).weights_BT
        means = weights.where(inputs.mask_BT, 0.0).sum(1) / inputs.mask_BT.sum(1)
        torch.testing.assert_close(means, torch.ones_like(means), rtol=0, atol=1e-14)


def test_a_method_that_imitates_assigns_no_credit():
    with pytest.raises(ValueError, match="the method sft imitates"):
        assign_credit("sft", random_inputs(), make_options())


@pytest.mark.parametrize("method", sorted(CREDITING.keys() - {"sc_grpo"}))
def test_no_gradient_flows_through_any_credit(method):
    inputs = random_inputs()
    logps = [inputs.student_logps_BT, inputs.teacher_logps_BT, inputs.contrast_logps_BT]
    student, teacher, contrast = (values.clone().requires_grad_() for values in logps)
    found = token_advantages(
        method,
        inputs.advantages_B,
        student,
        teacher,
        inputs.mask_BT,
        make_options(),
        contrast_logps=contrast,
        rewards=inputs.rewards_B,
        baselines=inputs.baselines_B,
    )
    assert not found.requires_grad


def test_token_advantages_applies_the_teacher_mask():
    inputs = random_inputs(has_teacher=False)
    for teacher_mask in (inputs.teacher_mask_B, inputs.teacher_mask_BT):
        values = {name: getattr(inputs, name) for name in CreditInputs.__dataclass_fields__}
        everywhere = {
            "teacher_mask_B": torch.ones(9, dtype=torch.bool),
            "teacher_mask_BT": torch.ones_like(inputs.mask_BT),
        }
        masks = everywhere | {"teacher_mask_B" if teacher_mask.dim() == 1 else "teacher_mask_BT": teacher_mask}
        found = token_advantages(
            "cepo",
            inputs.advantages_B,
            inputs.student_logps_BT,
            inputs.teacher_logps_BT,
            inputs.mask_BT,
            make_options(),
            contrast_logps=inputs.contrast_logps_BT,
            teacher_mask=teacher_mask,
        )
        assert torch.equal(found, oracle("cepo", CreditInputs(**(values | masks)), make_options()))
