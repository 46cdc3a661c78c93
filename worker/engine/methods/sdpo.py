"""SDPO (arXiv 2601.20802, proposition 2.1), sampled-token form: OPSD with a successful sibling as the hint.

```
A^_t = clip(log P_T(y_t | x, sibling, y_<t) - log P_S(y_t | x, y_<t), -c, c)
```

A sequence is never its own hint; without another success in its group it gets no signal. The authors use `divergence`
`jsd` with `divergence_top_k` 100 (see `divergence.py`) and a teacher with an exponential moving average of the weights;
here it is the `snapshot`.
"""

from worker.engine.methods.base import Credit, CreditInputs, Options, distilled_credit


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages. ValueError where teacher log-probabilities are missing."""
    return distilled_credit(inputs, options)
