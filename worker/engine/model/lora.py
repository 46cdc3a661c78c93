"""Owns LoRA's arithmetic on a linear layer: `y = x W^T + bias + scale * (x A^T) B^T` (arXiv 2106.09685).

The low-rank product is added where the layer's own product stands, forward and backward, so no tensor of the layer's
width is read or written for the adapter alone. Numbers are those of PEFT's own layer: the adapter is computed in its
own precision. Whatever this does not cover (dropout while training, a merged or an unfrozen layer) is left to PEFT.
"""

from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


class FusedLoraLinear(LoraLinear):  # type: ignore[misc]  # PEFT is not typed for mypy
    """PEFT's LoRA on a linear layer with a faster forward and backward."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """`x` is `[..., in]`; returns `[..., out]`."""
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
            sum_of: Any = _LowRankSum.apply  # torch leaves it untyped
            product: Tensor = sum_of(x, base.weight, base.bias, down, up, scale)
            return product
        return _low_rank_sum(x, base.weight, base.bias, down, up, scale)[0]

    def _mixed_batch_forward(self, x: Tensor, *args: Any, adapter_names: list[str], **kwargs: Any) -> Tensor:
        """Each row of `x` with the adapter named for it; a row comes out as if the whole batch had its adapter."""
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
    """The layer's output, and `x A^T`, `[tokens, rank]`."""
    rows = x.reshape(-1, x.shape[-1])
    low = rows.to(down.dtype) @ down.t()
    out = nn.functional.linear(rows, weight, bias).to(down.dtype)
    out.addmm_(low, up.t(), alpha=scale)
    return out.to(x.dtype).view(*x.shape[:-1], -1), low


class _LowRankSum(torch.autograd.Function):
    """The same with a gradient for `x`, `A` and `B`; the layer's own weight is frozen."""

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
        exact = flat.to(down.dtype)
        through = (exact @ up).mul_(ctx.scale)  # type: ignore[attr-defined]
        x_gradient = None
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            x_gradient = (flat @ weight).to(down.dtype).addmm_(through, down).to(x.dtype).view(x.shape)
        rows = x.reshape(-1, x.shape[-1]).to(down.dtype)
        down_gradient = through.t() @ rows if ctx.needs_input_grad[3] else None  # type: ignore[attr-defined]
        up_gradient = (exact.t() @ low).mul_(ctx.scale) if ctx.needs_input_grad[4] else None  # type: ignore[attr-defined]
        return x_gradient, None, None, down_gradient, up_gradient, None
