"""AdamW on the live adapter, and the step that clips its gradient and refuses one that is not finite."""

import math

import torch

from worker.engine.distributed import ProcessGroup
from worker.engine.faults import not_finite
from worker.engine.model.policy import LIVE_ADAPTER, Policy
from worker.engine.settings import Settings


def make_optimizer(policy: Policy, *, settings: Settings) -> torch.optim.AdamW:
    """Return AdamW over the live adapter; each step sets its learning rate.

    ValueError when other parameters are trainable: they would not be optimised, checkpointed or exported.
    """
    parameters = list(policy.adapter(LIVE_ADAPTER).values())
    adapter_ids = {id(parameter) for parameter in parameters}
    named = policy.model.named_parameters()
    others = [name for name, parameter in named if parameter.requires_grad and id(parameter) not in adapter_ids]
    if others:
        raise ValueError(f"the model has trainable parameters besides the adapter: {', '.join(others[:5])}")
    return torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def gradient_norm(policy: Policy) -> float:
    """Return the norm of the live adapter's gradient."""
    gradients = [p.grad for p in policy.adapter(LIVE_ADAPTER).values() if p.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


def zero_gradients(policy: Policy) -> None:
    """Set the live adapter's gradient to 0, also where no pass will add to it."""
    for parameter in policy.adapter(LIVE_ADAPTER).values():
        parameter.grad = torch.zeros_like(parameter)


def reduce_gradients(policy: Policy, *, world: ProcessGroup) -> None:
    """Sum the live adapter's gradient over all processes."""
    world.all_reduce([p.grad for p in policy.adapter(LIVE_ADAPTER).values() if p.grad is not None])


def take_optimizer_step(
    policy: Policy,
    optimizer: torch.optim.AdamW,
    *,
    loss: float,
    norm: float,
    learning_rate: float,
    step: int,
    settings: Settings,
) -> None:
    """Clip the gradient and update the adapter. Fault, before weights change, if loss or gradient is not finite."""
    if not (math.isfinite(norm) and math.isfinite(loss)):
        raise not_finite(f"step {step}: the {'gradient' if math.isfinite(loss) else 'loss'}")
    parameters = policy.adapter(LIVE_ADAPTER).values()
    torch.nn.utils.clip_grads_with_norm_(parameters, settings.max_grad_norm, torch.tensor(norm))
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
