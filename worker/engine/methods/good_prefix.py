"""Credit for the part of a wrong completion before its first error, after VPPO (arXiv 2601.18984).

```
e       = the first t with log P_T(y_t | x, r, y_<t) - log P_S(y_t | x, y_<t) < -1.6
u_t     = 1 in right completions
u_t     = alpha_prefix where t < e - m, 0 from there on, in wrong ones; 0 throughout where nothing is rejected
A^_t    = u_t - b,  b = the group's mean of the completions' means of u_t over their tokens
```

VPPO's is the idea: rewards for the prefix before the first error, penalties only after it, with a process reward model
that finds the error. Of this project are the detector, which is the policy itself with a hint, its threshold (not
tuned), and the margin of `m` tokens (`prefix_margin`). The form of `u_t` and `b` follows notes on the paper, not its
text, of which only the abstract was read. `scale_rewards` has no effect: nothing is divided by a deviation.

A group whose completions are all wrong teaches too, where some were rejected; one whose completions are all right does
not. A completion without a hint is not rejected; one without a score gets 0 and is not in `b`. With `alpha_prefix` 0,
and scores of 0 and 1, the method is GRPO without the deviation. `b` is computed once, before the update, from the
sampler's log-probabilities, so that no micro-batch needs the rest of its group.
"""

import torch
from torch import Tensor

from backend.core.methods import FIRM_REJECTION
from worker.engine.methods.base import Credit, CreditInputs, Options, log_ratio


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages. ValueError where rewards, baselines or teacher log-probabilities are missing."""
    if inputs.rewards_B is None or inputs.baselines_B is None:
        raise ValueError("the method needs rewards and the baselines of groups, but there are none")
    deltas_BT = log_ratio(inputs.teacher_logps_BT, inputs.student_logps_BT, inputs)
    values_BT = _values(deltas_BT, rewards_B=inputs.rewards_B, options=options)
    scored_BT = inputs.mask_BT & ~inputs.rewards_B.isnan()[:, None]
    return Credit(
        advantages_BT=(values_BT - inputs.baselines_B.to(values_BT.dtype)[:, None]).where(scored_BT, 0.0),
        weights_BT=torch.ones_like(deltas_BT),
        deltas_BT=deltas_BT,
        clipped_BT=torch.zeros_like(deltas_BT, dtype=torch.int8),
    )


def mean_values(inputs: CreditInputs, options: Options) -> Tensor:
    """Average `u_t` over each sequence's tokens, `[B]`: what a group's baseline is the mean of."""
    assert inputs.rewards_B is not None
    deltas_BT = log_ratio(inputs.teacher_logps_BT, inputs.student_logps_BT, inputs)
    values_BT = _values(deltas_BT, rewards_B=inputs.rewards_B, options=options)
    return values_BT.where(inputs.mask_BT, 0.0).sum(1) / inputs.mask_BT.sum(1).clamp(min=1)


def _values(deltas_BT: Tensor, *, rewards_B: Tensor, options: Options) -> Tensor:
    """Compute `u_t`, `[B, T]`, also outside the mask."""
    rejected_BT = deltas_BT < FIRM_REJECTION
    first_B1 = rejected_BT.int().argmax(1, keepdim=True)
    positions_BT = torch.arange(deltas_BT.shape[1], device=deltas_BT.device).expand_as(deltas_BT)
    good_BT = (positions_BT < first_B1 - options.prefix_margin) & rejected_BT.any(1, keepdim=True)
    right_B1 = (rewards_B > options.success_above)[:, None]
    return (options.alpha_prefix * good_BT.to(deltas_BT.dtype)).masked_fill(right_B1, 1.0)
