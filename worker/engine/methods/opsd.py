"""OPSD (arXiv 2601.18734, equation 9), sampled-token form: the policy imitates itself with a hint; no reward.

```
A^_t = clip(log P_T(y_t | x, r, y_<t) - log P_S(y_t | x, y_<t), -c, c)
```

The paper's main results use the whole vocabulary and a teacher with the initial weights: `divergence` `forward_kl`
(see `divergence.py`) and `teacher` `base`, also a job's default. The paper does not clip; `c` keeps single tokens from
dominating a step.
Option `first_error`: 0 after the first token with `delta_t < -1.6`. A sequence without a hint gets no signal.
"""

from worker.engine.methods.base import Credit, CreditInputs, Options, distilled_credit


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages. ValueError where teacher log-probabilities are missing."""
    return distilled_credit(inputs, options)
