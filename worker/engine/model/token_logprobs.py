"""Chunked log-probabilities of tokens given their states, without storing all logits.

The logits of each chunk are computed, reduced and freed. With gradients, the gradient of each log-probability with
respect to its state is computed while the chunk's logits exist: a token's log-probability depends only on its own
state, so the backward pass just scales the saved `[tokens, hidden]` and recomputes nothing.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from worker.engine.model.policy import Policy
from worker.engine.model.traits import head_is_trained, project

CHUNK_ELEMENTS = {"cpu": 2**23, "cuda": 2**27}
"""Logits per chunk: partly within a CPU's cache, and enough to fill a GPU."""


def token_logps(policy: Policy, states_NH: Tensor, ids_N: Tensor, *, temperature: float) -> Tensor:
    """Compute log-probabilities of tokens given the states that predict them, `[N]`, at the temperature.

    The log-softmax is in float32 (float64 for a float64 model). Differentiable where grad is enabled.
    """
    if states_NH.shape[0] == 0:
        return states_NH.new_zeros(0, dtype=torch.promote_types(states_NH.dtype, torch.float32))
    if torch.is_grad_enabled() and head_is_trained(policy):
        return torch.cat(
            [
                checkpoint(_chunk_logps, policy, states, ids, temperature, use_reentrant=False)
                for states, ids in _chunks(policy, states_NH, ids_N)
            ]
        )
    if torch.is_grad_enabled() and states_NH.requires_grad:
        logps_N: Tensor = _TokenLogps.apply(states_NH, ids_N, policy, temperature)  # type: ignore[no-untyped-call]
        return logps_N
    return torch.cat(
        [_chunk_logps(policy, states, ids, temperature) for states, ids in _chunks(policy, states_NH, ids_N)]
    )


def tokens_per_chunk(policy: Policy, *, copies: int = 1) -> int:
    """Return how many tokens' logits are computed at a time, if `copies` of them are alive together."""
    vocabulary: int = policy.model.config.get_text_config(decoder=True).vocab_size
    return max(1, CHUNK_ELEMENTS.get(policy.device.type, 2**27) // copies // vocabulary)


def _chunks(policy: Policy, states_NH: Tensor, ids_N: Tensor) -> list[tuple[Tensor, Tensor]]:
    size = tokens_per_chunk(policy)
    return [(states_NH[i : i + size], ids_N[i : i + size]) for i in range(0, len(ids_N), size)]


def _chunk_logps(policy: Policy, states_NH: Tensor, ids_N: Tensor, temperature: float) -> Tensor:
    logits_NV = project(policy, states_NH)
    logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    if temperature != 1:
        logits_NV = logits_NV / temperature
    return logits_NV.gather(1, ids_N[:, None]).squeeze(1) - logits_NV.logsumexp(1)


class _TokenLogps(torch.autograd.Function):
    """`token_logps` with gradients, for a frozen head."""

    @staticmethod
    def forward(ctx: Any, states_NH: Tensor, ids_N: Tensor, policy: Policy, temperature: float) -> Tensor:
        logps: list[Tensor] = []
        grads: list[Tensor] = []
        for chunk, ids in _chunks(policy, states_NH, ids_N):
            states = chunk.detach().requires_grad_()
            with torch.enable_grad():
                chunk_logps = _chunk_logps(policy, states, ids, temperature)
                grads += torch.autograd.grad(chunk_logps.sum(), states)
            logps.append(chunk_logps.detach())
        ctx.save_for_backward(torch.cat(grads))
        return torch.cat(logps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (grads_NH,) = ctx.saved_tensors
        return (gradients[0][:, None] * grads_NH).to(grads_NH.dtype), None, None, None
