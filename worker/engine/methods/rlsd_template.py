"""RLSD measured against its own template: what the hint says, without what its mere presence does (RLSD.md section 3).

```
delta_t = log P_T(y_t | x, r, y_<t) - log P_T(y_t | x, empty, y_<t)
```

Weights, clip, mixing and options are RLSD's. Both passes use the teacher's weights, so what has been learnt since the
snapshot does not enter either.
"""

from worker.engine.methods.base import Credit, CreditInputs, Method, Options, TeacherKind, contrasted_credit
from worker.engine.types import Hint


def credit(evidence: CreditInputs, options: Options) -> Credit:
    """Token advantages. ValueError where the teacher's word is missing though `lambda` asks for it."""
    return contrasted_credit(evidence, options)


METHOD = Method(name="rlsd_template", credit=credit, teacher=TeacherKind.HINTED, contrast=Hint.EMPTY, fades=True)
