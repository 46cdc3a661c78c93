"""RLSD (arXiv 2604.03128, equations 13 to 15 and Algorithm 1): the reward sets the sign of the advantage, the policy
with a hint distributes its magnitude over the tokens.

```
delta_t = log P_T(y_t | x, r, y_<t) - log P_S(y_t | x, y_<t)
w_t     = exp(sign(A) * delta_t)
w^_t    = clip(w_t, 1 - eps_w, 1 + eps_w)
A^_t    = A * ((1 - lambda) + lambda * w^_t)
```

Options: `first_error` sets `w_t = 1` after the first token with `delta_t < -1.6`, `normalise` divides `w^_t` by its
mean over the sequence (both docs/rlsd.md section 6), `negative_only` sets `w_t = 1` where `A > 0`, `reasoning_only`
after the end of the reasoning. A sequence without a hint keeps `A`.
"""

from worker.engine.methods.base import Credit, CreditInputs, Options, log_ratio, sequence_credit, weighted_credit


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages. ValueError where teacher log-probabilities are missing and `lambda` is not 0."""
    if options.lam == 0:
        return sequence_credit(inputs)
    return weighted_credit(log_ratio(inputs.teacher_logps_BT, inputs.student_logps_BT, inputs), inputs, options)
