"""OPD, on-policy distillation (arXiv 2306.13649): a larger model with the same tokenizer is imitated on the student's
own completions; no hint, no reward.

```
A^_t = clip(log P_big(y_t | x, y_<t) - log P_S(y_t | x, y_<t), -c, c)
```

This is the sampled-token form, the reverse KL's policy gradient; `divergence` gives the paper's full-vocabulary forms.
"""

from worker.engine.methods.base import Credit, CreditInputs, Method, Options, TeacherKind, distilled_credit


def credit(evidence: CreditInputs, options: Options) -> Credit:
    """Token advantages. ValueError where the teacher's word is missing."""
    return distilled_credit(evidence, options)


METHOD = Method(name="opd", credit=credit, teacher=TeacherKind.EXTERNAL, rewarded=False, distils=True)
