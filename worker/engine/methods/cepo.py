"""CEPO (arXiv 2605.19436, equations 5 to 7): a token counts where the right hint favours it and a wrong one does not.

```
delta_t = log P_T(y_t | x, right, y_<t) - log P_T(y_t | x, wrong, y_<t)
w_t     = exp(sign(A) * delta_t)
A^_t    = A * ((1 - lambda) + lambda * clip(w_t, 1 - eps_w, 1 + eps_w))
```

The wrong hint is a failed sibling's whole completion, never the sequence's own, whatever the right hint is. The authors
take the final answer alone of the group's worst completion. So with the hint `answer` the two differ in form too: a
short right answer stands against a full transcript, which raises the tokens that it shares with the student's text, and
`delta` counts them as rejected, true or not. With `solution` or `sibling` both hints are texts of one kind. Without a
wrong hint the sequence keeps `A`, as in their code (their text falls back to RLSD's weight). Several
(`contrast_samples`) count with their mean probability. Options as in RLSD.
"""

from worker.engine.methods.base import Credit, CreditInputs, Method, Options, TeacherKind, contrasted_credit
from worker.engine.types import Hint


def credit(evidence: CreditInputs, options: Options) -> Credit:
    """Token advantages. ValueError where the teacher's word is missing though `lambda` asks for it."""
    return contrasted_credit(evidence, options)


METHOD = Method(name="cepo", credit=credit, teacher=TeacherKind.HINTED, contrast=Hint.WRONG_SIBLING, fades=True)
