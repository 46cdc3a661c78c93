"""OPSD (arXiv 2601.18734, equation 9), the sampled-token form: a hinted copy of the policy is imitated, no reward read.

```
A^_t = clip(log P_T(y_t | x, r, y_<t) - log P_S(y_t | x, y_<t), -c, c)
```

The paper's main results use the whole vocabulary and a teacher with the initial weights: `divergence` `forward_kl`
(see `divergence.py`) and `teacher` `base`, which is a job's default too. The paper does not clip; `c` keeps one token
from ruling a step.
Option `first_error`: 0 behind the first token with `delta_t < -1.6`. A sequence without a hint gets no signal.
"""

from worker.engine.methods.base import Credit, CreditInputs, Method, Options, TeacherKind, distilled_credit


def credit(evidence: CreditInputs, options: Options) -> Credit:
    """Token advantages. ValueError where the teacher's word is missing."""
    return distilled_credit(evidence, options)


METHOD = Method(name="opsd", credit=credit, teacher=TeacherKind.HINTED, rewarded=False, distils=True)
