"""The sum of GRPO and OPSD: the reward's advantage plus the hinted teacher's log-ratio.

```
A^_t = A + alpha * clip(log P_T(y_t | x, r, y_<t) - log P_S(y_t | x, y_<t), -c, c)
```

This is a baseline of arXiv 2604.03128. Unlike in RLSD, the teacher can reverse the sign of a token's advantage, and
gives a signal where all completions scored the same. Option `first_error` as in OPSD. A sequence without a hint keeps
`A`; with `alpha` 0 the method is GRPO and needs no teacher.
"""

from dataclasses import replace

from worker.engine.methods.base import Credit, CreditInputs, Options, distilled_credit, sequence_credit


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages. ValueError where teacher log-probabilities are missing and `alpha` is not 0."""
    if options.alpha == 0:
        return sequence_credit(inputs)
    distilled = distilled_credit(inputs, options)
    advantages_B1 = inputs.advantages_B.to(distilled.advantages_BT.dtype)[:, None]
    summed_BT = advantages_B1 + options.alpha * distilled.advantages_BT
    return replace(distilled, advantages_BT=summed_BT.where(inputs.mask_BT, 0.0))
