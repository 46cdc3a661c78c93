"""GRPO and OPSD added up: the reward's advantage, and the hinted teacher's log-ratio beside it.

```
A^_t = A + alpha * clip(log P_T(y_t | x, r, y_<t) - log P_S(y_t | x, y_<t), -c, c)
```

The sum of the two objectives that arXiv 2604.03128 compares with. Unlike RLSD the teacher can turn a token against the
verifier, and has its say where all completions scored the same. Option `first_error` as in OPSD. A sequence without a
hint keeps `A`; with `alpha` 0 the method is GRPO and needs no teacher.
"""

from dataclasses import replace

from worker.engine.methods.base import (
    Credit,
    CreditInputs,
    Method,
    Options,
    TeacherKind,
    distilled_credit,
    sequence_credit,
)


def credit(evidence: CreditInputs, options: Options) -> Credit:
    """Token advantages. ValueError where the teacher's word is missing though `alpha` asks for it."""
    if options.alpha == 0:
        return sequence_credit(evidence)
    distilled = distilled_credit(evidence, options)
    advantages_B1 = evidence.advantages_B.to(distilled.advantages_BT.dtype)[:, None]
    summed_BT = advantages_B1 + options.alpha * distilled.advantages_BT
    return replace(distilled, advantages_BT=summed_BT.where(evidence.mask_BT, 0.0))


METHOD = Method(name="grpo_opsd", credit=credit, teacher=TeacherKind.HINTED, distils=True)
