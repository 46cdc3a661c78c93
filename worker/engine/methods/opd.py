"""OPD, on-policy distillation (arXiv 2306.13649): the student imitates a larger model with the same tokenizer on its
own completions, without hint or reward.

```
A^_t = clip(log P_big(y_t | x, y_<t) - log P_S(y_t | x, y_<t), -c, c)
```

This is the sampled-token form, the policy gradient of the reverse KL; `divergence` selects the paper's full-vocabulary
forms.
"""

from worker.engine.methods.base import Credit, CreditInputs, Options, distilled_credit


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages. ValueError where teacher log-probabilities are missing."""
    return distilled_credit(inputs, options)
