"""RLCSD (arXiv 2606.11709, equations 7 to 9): the advantage plus a bounded contrast of hints, which keeps its sign.

```
e_t  = log P_T(y_t | x, right, y_<t) - log( 1/K sum_k P_T(y_t | x, wrong_k, y_<t) )
r_t  = lambda * tanh(e_t / tau)
r_t  = 0 where |r_t| <= threshold
A^_t = max(0, A + r_t) where A > 0,  min(0, A + r_t) where A < 0,  0 where A = 0
```

The authors' numbers: `lambda` 0.5 throughout, `tau` 0.02, threshold 0.02, `K` 4 (`contrast_samples`), right and wrong
hints both from the group (`hint` `sibling`). Left out: their two separate token means for touched and untouched tokens,
which are a matter of the loss and not of the credit, and the dropping of sequences without hints, which keep `A` here.
"""

import torch

from worker.engine.methods.base import (
    Credit,
    CreditInputs,
    Method,
    Options,
    TeacherKind,
    log_ratio,
    sequence_credit,
    until_first_error,
)
from worker.engine.types import Hint


def credit(evidence: CreditInputs, options: Options) -> Credit:
    """Token advantages. ValueError where the teacher's word is missing though `lambda` asks for it."""
    if options.lam == 0:
        return sequence_credit(evidence)
    deltas_BT = log_ratio(evidence.teacher_logps_BT, evidence.contrast_logps_BT, evidence)
    advantages_B1 = evidence.advantages_B.to(deltas_BT.dtype)[:, None]
    residual_BT = options.lam * torch.tanh(until_first_error(deltas_BT, options) / options.contrast_tau)
    touched_BT = residual_BT.abs() > options.contrast_threshold
    if options.negative_only:
        touched_BT = touched_BT & (advantages_B1 < 0)
    moved_BT = advantages_B1 + residual_BT.where(touched_BT, 0.0)
    kept_BT = torch.where(advantages_B1 > 0, moved_BT.clamp(min=0), moved_BT.clamp(max=0))
    final_BT = kept_BT.where((advantages_B1 != 0) & evidence.mask_BT, 0.0)
    held_BT = (moved_BT * advantages_B1.sign() < 0) & evidence.mask_BT
    return Credit(
        advantages_BT=final_BT,
        weights_BT=(final_BT / advantages_B1).where((advantages_B1 != 0) & evidence.mask_BT, 1.0),
        deltas_BT=deltas_BT,
        clipped_BT=torch.zeros_like(held_BT, dtype=torch.int8).masked_fill(held_BT, -1),
    )


METHOD = Method(name="rlcsd", credit=credit, teacher=TeacherKind.HINTED, contrast=Hint.WRONG_SIBLING, fades=True)
