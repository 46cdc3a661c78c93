"""RLSD with the log-ratio against an empty hint, which removes the effect of the template (docs/rlsd.md section 3).

```
delta_t = log P_T(y_t | x, r, y_<t) - log P_T(y_t | x, empty, y_<t)
```

Weights, clip, mixing and options are RLSD's. Both passes use the teacher's weights, so changes since the snapshot have
no effect either.
"""

from worker.engine.methods.base import Credit, CreditInputs, Options, contrasted_credit


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages. ValueError where teacher log-probabilities are missing and `lambda` is not 0."""
    return contrasted_credit(inputs, options)
