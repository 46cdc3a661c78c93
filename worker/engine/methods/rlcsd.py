"""RLCSD (arXiv 2606.11709, equations 7 to 9): the advantage plus a bounded contrast of hints that keeps its sign.

```
e_t  = log P_T(y_t | x, right, y_<t) - log( 1/K sum_k P_T(y_t | x, wrong_k, y_<t) )
r_t  = lambda * tanh(e_t / tau)
r_t  = 0 where |r_t| <= threshold
A^_t = max(0, A + r_t) where A > 0,  min(0, A + r_t) where A < 0,  0 where A = 0
```

The authors' values: constant `lambda` 0.5, `tau` 0.02, threshold 0.02, `K` 4 (`contrast_samples`), right and wrong
hints both from the group (`hint` `sibling`). Not implemented: their separate token means for changed and unchanged
tokens, which concern the loss, not the credit, and dropping sequences without hints, which keep `A` here.
"""

import torch

from worker.engine.methods.base import Credit, CreditInputs, Options, log_ratio, sequence_credit, until_first_error


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages. ValueError where teacher log-probabilities are missing and `lambda` is not 0."""
    if options.lam == 0:
        return sequence_credit(inputs)
    deltas_BT = log_ratio(inputs.teacher_logps_BT, inputs.contrast_logps_BT, inputs)
    advantages_B1 = inputs.advantages_B.to(deltas_BT.dtype)[:, None]
    residual_BT = options.lam * torch.tanh(until_first_error(deltas_BT, options) / options.contrast_tau)
    changed_BT = residual_BT.abs() > options.contrast_threshold
    if options.negative_only:
        changed_BT = changed_BT & (advantages_B1 < 0)
    sum_BT = advantages_B1 + residual_BT.where(changed_BT, 0.0)
    same_sign_BT = torch.where(advantages_B1 > 0, sum_BT.clamp(min=0), sum_BT.clamp(max=0))
    final_BT = same_sign_BT.where((advantages_B1 != 0) & inputs.mask_BT, 0.0)
    clipped_BT = (sum_BT * advantages_B1.sign() < 0) & inputs.mask_BT
    return Credit(
        advantages_BT=final_BT,
        weights_BT=(final_BT / advantages_B1).where((advantages_B1 != 0) & inputs.mask_BT, 1.0),
        deltas_BT=deltas_BT,
        clipped_BT=torch.zeros_like(clipped_BT, dtype=torch.int8).masked_fill(clipped_BT, -1),
    )
