"""SDPO (arXiv 2601.20802, proposition 2.1), the sampled-token form: OPSD whose hint is a success of the same group.

```
A^_t = clip(log P_T(y_t | x, sibling, y_<t) - log P_S(y_t | x, y_<t), -c, c)
```

A sequence is never its own hint, and one without another success in its group gets no signal. The authors' recipe is
`divergence` `jsd` with `divergence_top_k` 100 (see `divergence.py`); their teacher is an exponential average of the
weights, here the `snapshot`.
"""

from worker.engine.methods.base import Credit, CreditInputs, Method, Options, TeacherKind, distilled_credit
from worker.engine.types import Hint


def credit(evidence: CreditInputs, options: Options) -> Credit:
    """Token advantages. ValueError where the teacher's word is missing."""
    return distilled_credit(evidence, options)


METHOD = Method(name="sdpo", credit=credit, teacher=TeacherKind.HINTED, hint=Hint.SIBLING, rewarded=False, distils=True)
