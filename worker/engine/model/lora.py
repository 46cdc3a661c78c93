"""Fused LoRA on a linear layer: `y = x W^T + bias + scale * (x A^T) B^T` (arXiv 2106.09685).

The low-rank product is accumulated into the layer's own output, forward and backward, so no extra tensor of the layer's
width is read or written for the adapter. Results equal those of PEFT's layer: the adapter is computed in its own
precision. Other cases (dropout while training, a merged or an unfrozen layer) are delegated to PEFT.
"""

from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


class FusedLoraLinear(LoraLinear):  # type: ignore[misc]  # PEFT is not typed for mypy
    """PEFT's LoRA on a linear layer with a faster forward and backward."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Map `x` `[..., in]` to `[..., out]`."""
        base, active = self.base_layer, self.active_adapters
        fused = (
            not (args or kwargs or self.disable_adapters or self.merged)
            and len(active) == 1
            and active[0] in self.lora_A
            and active[0] not in self.lora_variant
            and type(base) is nn.Linear
            and not base.weight.requires_grad
            and x.dtype == base.weight.dtype
            and not (self.training and isinstance(self.lora_dropout[active[0]], nn.Dropout))
        )
        if not fused:
            result: Tensor = super().forward(x, *args, **kwargs)
            return result
        down, up, scale = self.lora_A[active[0]].weight, self.lora_B[active[0]].weight, self.scaling[active[0]]
        if torch.is_grad_enabled() and (x.requires_grad or down.requires_grad):
            low_rank_sum: Any = _LowRankSum.apply  # untyped in torch
            output: Tensor = low_rank_sum(x, base.weight, base.bias, down, up, scale)
            return output
        return _low_rank_sum(x, base.weight, base.bias, down, up, scale)[0]

    def _mixed_batch_forward(self, x: Tensor, *args: Any, adapter_names: list[str], **kwargs: Any) -> Tensor:
        """Apply to each row of `x` the adapter named for it, with the result of a batch with that adapter alone."""
        base, names = self.base_layer, set(adapter_names) & set(self.lora_A)
        plain = type(base) is nn.Linear and not args and all(value is None for value in kwargs.values())
        if not plain or any(name in self.lora_variant for name in names):
            mixed: Tensor = super()._mixed_batch_forward(x, *args, adapter_names=adapter_names, **kwargs)
            return mixed
        out = nn.functional.linear(x, base.weight, base.bias)
        for adapter in sorted(names):
            rows = torch.tensor([row for row, name in enumerate(adapter_names) if name == adapter], device=x.device)
            down, up = self.lora_A[adapter].weight, self.lora_B[adapter].weight
            low = (x[rows].to(down.dtype) @ down.t()) @ up.t()
            out[rows] = (out[rows].to(down.dtype) + self.scaling[adapter] * low).to(out.dtype)
        return out


def _low_rank_sum(
    x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Compute the layer's output, and `x A^T`, `[tokens, rank]`."""
    rows = x.reshape(-1, x.shape[-1])
    low = rows.to(down.dtype) @ down.t()
    out = nn.functional.linear(rows, weight, bias).to(down.dtype)
    out.addmm_(low, up.t(), alpha=scale)
    return out.to(x.dtype).view(*x.shape[:-1], -1), low


class _LowRankSum(torch.autograd.Function):
    """`_low_rank_sum` with gradients for `x`, `A` and `B`; the layer's own weight is frozen."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        out, low = _low_rank_sum(x, weight, bias, down, up, scale)
        ctx.save_for_backward(x, weight, down, up, low)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, down, up, low = ctx.saved_tensors  # type: ignore[attr-defined]
        flat = gradients[0].reshape(-1, weight.shape[0])
        grad = flat.to(down.dtype)
        low_grad = (grad @ up).mul_(ctx.scale)  # type: ignore[attr-defined]
        x_gradient = None
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            x_gradient = (flat @ weight).to(down.dtype).addmm_(low_grad, down).to(x.dtype).view(x.shape)
        rows = x.reshape(-1, x.shape[-1]).to(down.dtype)
        down_gradient = low_grad.t() @ rows if ctx.needs_input_grad[3] else None  # type: ignore[attr-defined]
        up_gradient = (grad.t() @ low).mul_(ctx.scale) if ctx.needs_input_grad[4] else None  # type: ignore[attr-defined]
        return x_gradient, None, None, down_gradient, up_gradient, None
