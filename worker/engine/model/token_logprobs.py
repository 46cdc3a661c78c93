"""Owns the log-probability of single tokens given states, without ever holding the logits of all of them.

The logits of a chunk are made, reduced and forgotten. Where a gradient is wanted, that of each log-probability with
respect to its state is taken at once, while the logits are there: a token's log-probability depends on its own state
alone, so the backward pass only scales what was kept, `[tokens, hidden]`, and computes nothing twice.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from worker.engine.model.policy import Policy
from worker.engine.model.traits import head_learns, project

CHUNK_ELEMENTS = {"cpu": 2**23, "cuda": 2**27}
"""Logits made at a time: what a processor's cache holds in part, and what fills a GPU."""


def token_logps(policy: Policy, states_NH: Tensor, ids_N: Tensor, *, temperature: float) -> Tensor:
    """log-probabilities of tokens given the states that predict them, `[N]`, at the temperature.

    By log-softmax in float32 (float64 where the model is). Carries a gradient where grad is on.
    """
    if states_NH.shape[0] == 0:
        return states_NH.new_zeros(0, dtype=torch.promote_types(states_NH.dtype, torch.float32))
    if torch.is_grad_enabled() and head_learns(policy):
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


def _chunks(policy: Policy, states_NH: Tensor, ids_N: Tensor) -> list[tuple[Tensor, Tensor]]:
    vocabulary = policy.model.config.get_text_config(decoder=True).vocab_size
    size = max(1, CHUNK_ELEMENTS.get(policy.device.type, 2**27) // vocabulary)
    return [(states_NH[i : i + size], ids_N[i : i + size]) for i in range(0, len(ids_N), size)]


def _chunk_logps(policy: Policy, states_NH: Tensor, ids_N: Tensor, temperature: float) -> Tensor:
    logits_NV = project(policy, states_NH)
    logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    if temperature != 1:
        logits_NV = logits_NV / temperature
    return logits_NV.gather(1, ids_N[:, None]).squeeze(1) - logits_NV.logsumexp(1)


class _TokenLogps(torch.autograd.Function):
    """`token_logps` for a head that is not trained."""

    @staticmethod
    def forward(ctx: Any, states_NH: Tensor, ids_N: Tensor, policy: Policy, temperature: float) -> Tensor:
        logps: list[Tensor] = []
        slopes: list[Tensor] = []
        for chunk, ids in _chunks(policy, states_NH, ids_N):
            states = chunk.detach().requires_grad_()
            with torch.enable_grad():
                found = _chunk_logps(policy, states, ids, temperature)
                slopes += torch.autograd.grad(found.sum(), states)
            logps.append(found.detach())
        ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(logps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (slopes_NH,) = ctx.saved_tensors
        return (gradients[0][:, None] * slopes_NH).to(slopes_NH.dtype), None, None, None
