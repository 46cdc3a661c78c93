"""The surrogate objective: its gradient at the sampling policy, its clips, its averages."""

import pytest
import torch

from worker.engine.training.objective import loss_weights, ratio_clipped, surrogate

CLIPS = {"eps_low": 0.2, "eps_high": 0.28, "dual_clip": 3.0}


def test_at_ratio_one_the_gradient_is_reinforce():
    logps = torch.tensor([[-1.0, -2.0, -0.5]], dtype=torch.float64, requires_grad=True)
    advantages = torch.tensor([[1.5, -0.7, 0.9]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False]])
    surrogate(logps, logps.detach(), advantages, mask, **CLIPS).sum().backward()
    (expected,) = torch.autograd.grad((logps * advantages * mask).sum(), logps)
    assert torch.equal(logps.grad, expected)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.1, 1.0, 1.1),
        (1.5, 1.0, 1.28),
        (0.5, 1.0, 0.5),
        (0.5, -1.0, -0.8),
        (1.5, -1.0, -1.5),
        (7.0, -1.0, -3.0),
        (7.0, 0.0, 0.0),
    ],
)
def test_the_ratio_is_clipped_above_below_and_on_both_sides(ratio, advantage, expected):
    logps = torch.tensor([[ratio]], dtype=torch.float64).log()
    mask = torch.ones(1, 1, dtype=torch.bool)
    found = surrogate(
        logps, torch.zeros(1, 1, dtype=torch.float64), torch.tensor([[advantage]]).double(), mask, **CLIPS
    )
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("old", [float("-inf"), -200.0])
def test_a_nearly_impossible_sampled_token_leaves_value_and_gradient_finite(old, advantage):
    logps = torch.tensor([[-0.5]], requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)
    found = surrogate(logps, torch.tensor([[old]]), torch.tensor([[advantage]]), mask, **CLIPS)
    found.sum().backward()
    assert found.item() == pytest.approx(1.28 if advantage > 0 else -3.0)
    assert logps.grad.item() == 0


def test_ratio_clipped_is_true_where_the_clip_is_active():
    logps = torch.tensor([[1.5, 1.5, 0.5, 0.5, 9.0]]).log()
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0]])
    mask = torch.tensor([[True, True, True, True, False]])
    found = ratio_clipped(logps, torch.zeros(1, 5), advantages, mask, eps_low=0.2, eps_high=0.28)
    assert found.tolist() == [[True, False, False, True, False]]


@pytest.mark.parametrize("poison", [float("nan"), float("-inf"), float("inf")])
def test_masked_values_leak_neither_into_the_value_nor_into_the_gradient(poison):
    logps = torch.tensor([[-1.0, poison]], requires_grad=True)
    old = torch.tensor([[-1.2, poison]])
    mask = torch.tensor([[True, False]])
    found = surrogate(logps, old, torch.tensor([[1.0, poison]]), mask, **CLIPS)
    found.sum().backward()
    assert found[0, 1] == 0
    assert found.isfinite().all()
    assert logps.grad is not None
    assert logps.grad[0, 1] == 0
    assert logps.grad.isfinite().all()


def test_token_mean_weights_tokens_equally_and_sequence_mean_sequences():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    token = loss_weights(mask, loss="token_mean", max_completion_tokens=9, dtype=torch.float64)
    sequence = loss_weights(mask, loss="sequence_mean", max_completion_tokens=9, dtype=torch.float64)
    torch.testing.assert_close(token, mask.double() / 4)
    torch.testing.assert_close(sequence, torch.tensor([[1 / 6] * 3, [1 / 2, 0, 0]], dtype=torch.float64))
