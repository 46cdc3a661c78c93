"""SC-GRPO (arXiv 2606.18810): a token's share grows with how much a solution of a sibling would change what comes next.

```
D_t  = KL( P_T(. | x, s, y_<t) || P_S(. | x, y_<t) )   over the vocabulary, s another right completion of the group
f_t  = D_t / (D_t + c)
c    = max(75th percentile of D over the step's tokens, 1e-4)
A^_t = A f_t  in groups with at least two right completions and a wrong one,  A  in the others
```

The self-conditioned teacher, the divergence as a factor and the idea of routing are the authors'; the formulas follow
notes on the paper, of which only abstract and summaries were read. Of this project: the percentile is over the tokens
at which the teacher was consulted, and the teacher is the setting `teacher`, by default the snapshot. A completion
whose sibling does not fit keeps `A`. `D` is measured in a pass of its own, before the update, because `c` needs the
whole step; it keeps one number a token.
"""

import torch

from worker.engine.methods.base import Credit, CreditInputs, Options, log_ratio, sequence_credit


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages. ValueError where divergences or teacher log-probabilities are missing."""
    if inputs.divergences_BT is None or inputs.divergence_scale is None:
        raise ValueError("the method needs the divergences of a teacher, but there are none")
    plain = sequence_credit(inputs)
    deltas_BT = log_ratio(inputs.teacher_logps_BT, inputs.student_logps_BT, inputs)
    consulted_BT = inputs.mask_BT & inputs.teacher_mask_BT & inputs.teacher_mask_B[:, None]
    divergences_BT = inputs.divergences_BT.to(deltas_BT.dtype)
    factors_BT = (divergences_BT / (divergences_BT + inputs.divergence_scale)).where(consulted_BT, 1.0)
    return Credit(
        advantages_BT=plain.advantages_BT * factors_BT,
        weights_BT=factors_BT,
        deltas_BT=deltas_BT,
        clipped_BT=torch.zeros_like(plain.clipped_BT),
    )
