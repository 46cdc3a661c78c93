"""CEPO (arXiv 2605.19436, equations 5 to 7): tokens are weighted by the contrast of a right hint and a wrong one.

```
delta_t = log P_T(y_t | x, right, y_<t) - log P_T(y_t | x, wrong, y_<t)
w_t     = exp(sign(A) * delta_t)
A^_t    = A * ((1 - lambda) + lambda * clip(w_t, 1 - eps_w, 1 + eps_w))
```

The wrong hint is a failed sibling's whole completion, never the sequence's own, whatever the right hint is. The authors
use only the final answer of the group's worst completion. So with the hint `answer` the two also differ in form: a
short right answer against a full transcript, which makes the tokens that it shares with the student's text likelier, so
that `delta` counts them as rejected whether or not they are right. With `solution` or `sibling` both hints have the
same form. Without a wrong hint the sequence keeps `A`, as in their code (their text falls back to RLSD's weight).
Several wrong hints (`contrast_samples`) contribute their mean probability. Options as in RLSD.
"""

from worker.engine.methods.base import Credit, CreditInputs, Options, contrasted_credit


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages. ValueError where teacher log-probabilities are missing and `lambda` is not 0."""
    return contrasted_credit(inputs, options)
