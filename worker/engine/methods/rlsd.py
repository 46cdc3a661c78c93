"""RLSD (arXiv 2604.03128, equations 13 to 15 and Algorithm 1): the reward decides the direction, a hinted copy of the
policy decides how the credit is shared among the tokens.

```
delta_t = log P_T(y_t | x, r, y_<t) - log P_S(y_t | x, y_<t)
w_t     = exp(sign(A) * delta_t)
w^_t    = clip(w_t, 1 - eps_w, 1 + eps_w)
A^_t    = A * ((1 - lambda) + lambda * w^_t)
```

Options of RLSD.md section 6: `first_error` sets `w_t = 1` behind the first token with `delta_t < -1.6`; `normalise`
divides `w^_t` by its mean over the sequence.
"""

import torch
from torch import Tensor

from worker.engine.methods.base import Credit, Evidence, Method, Options, sequence_credit

FIRM_REJECTION = -1.6
"""About ln 0.2: the teacher finds the token five times less likely than the student does. Not tuned."""


def credit(evidence: Evidence, options: Options) -> Credit:
    """Token advantages. ValueError where the teacher's word is missing though `lambda` asks for it."""
    if options.lam == 0:
        return sequence_credit(evidence)
    if evidence.teacher_logps_BT is None:
        raise ValueError("rlsd needs the teacher's log-probabilities unless lambda is 0")
    mask_BT = evidence.mask_BT
    deltas_BT = (evidence.teacher_logps_BT - evidence.student_logps_BT).detach().where(mask_BT, 0.0)
    if bool(deltas_BT.isnan().any()):
        raise ValueError("a log-probability of a sampled token is not a number")
    advantages_B1 = evidence.advantages_B.to(deltas_BT.dtype)[:, None]
    heard_BT = deltas_BT.masked_fill(_after_first_error(deltas_BT), 0.0) if options.first_error else deltas_BT
    sign_B1 = advantages_B1.sign()
    raw_BT = torch.exp((sign_B1 * heard_BT).where(sign_B1 != 0, 0.0))  # 0 * inf would be NaN
    lowest, highest = 1 - options.eps_low, 1 + options.eps_high
    weights_BT = raw_BT.clamp(lowest, highest)
    if options.normalise:
        weights_BT = weights_BT / _mean(weights_BT, mask_BT)
    mixed_BT = advantages_B1 * ((1 - options.lam) + options.lam * weights_BT)
    return Credit(
        advantages_BT=mixed_BT.where(mask_BT, 0.0),
        weights_BT=weights_BT.where(mask_BT, 1.0),
        deltas_BT=deltas_BT,
        clipped_BT=((raw_BT > highest).char() - (raw_BT < lowest).char()).where(mask_BT, 0),
    )


def _after_first_error(deltas_BT: Tensor) -> Tensor:
    """True at the tokens behind the first firm rejection, which itself still counts."""
    rejected_BT = deltas_BT < FIRM_REJECTION
    return (rejected_BT.cumsum(1) - rejected_BT.long()) > 0


def _mean(weights_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over each sequence's tokens, `[B, 1]`; 1 for a sequence without tokens or whose weights are all 0."""
    count_B1 = mask_BT.sum(1, keepdim=True).clamp(min=1)
    mean_B1 = weights_BT.where(mask_BT, 0.0).sum(1, keepdim=True) / count_B1
    return mean_B1.where(mean_B1 > 0, 1.0)


METHOD = Method(name="rlsd", needs_hint=True, credit=credit)
