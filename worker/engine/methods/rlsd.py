"""RLSD (arXiv 2604.03128, equations 13 to 15 and Algorithm 1): the reward decides the direction, a hinted copy of the
policy decides how the credit is shared among the tokens.

```
delta_t = log P_T(y_t | x, r, y_<t) - log P_S(y_t | x, y_<t)
w_t     = exp(sign(A) * delta_t)
w^_t    = clip(w_t, 1 - eps_w, 1 + eps_w)
A^_t    = A * ((1 - lambda) + lambda * w^_t)
```

Options: `first_error` sets `w_t = 1` behind the first token with `delta_t < -1.6`, `normalise` divides `w^_t` by its
mean over the sequence (both RLSD.md section 6), `negative_only` sets `w_t = 1` where `A > 0`, `reasoning_only` where
the reasoning has ended. A sequence without a hint keeps `A`.
"""

from worker.engine.methods.base import (
    Credit,
    CreditInputs,
    Method,
    Options,
    TeacherKind,
    log_ratio,
    sequence_credit,
    weighted_credit,
)


def credit(evidence: CreditInputs, options: Options) -> Credit:
    """Token advantages. ValueError where the teacher's word is missing though `lambda` asks for it."""
    if options.lam == 0:
        return sequence_credit(evidence)
    return weighted_credit(log_ratio(evidence.teacher_logps_BT, evidence.student_logps_BT, evidence), evidence, options)


METHOD = Method(name="rlsd", credit=credit, teacher=TeacherKind.HINTED, fades=True)
