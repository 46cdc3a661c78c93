"""Divergences between the teacher's and the student's next-token distributions, used by methods that distil.

The original losses of OPSD (arXiv 2601.18734, equations 6 to 8) and SDPO (arXiv 2601.20802, equation 1 and appendix
A.3); both papers train on minus these. With `P_S` the student, `P_T` the teacher, `b` the setting `divergence_beta`,
and sums over the vocabulary:

```
forward_kl  KL(P_T || P_S) = sum P_T (log P_T - log P_S)
reverse_kl  KL(P_S || P_T) = sum P_S (log P_S - log P_T)
jsd         b KL(P_T || M) + (1 - b) KL(P_S || M)  with  M = b P_T + (1 - b) P_S
```

For `b` 0 and 1 the last formula is 0, so both papers' code uses the forward divergence for `b = 0` and the reverse one
for `b = 1`; so does this module. OPSD's recipe is `forward_kl` with `divergence_clip` 0.05, SDPO's `jsd` with `b` 0.5
and `divergence_top_k` 100.

`divergence_clip` bounds each summand, one vocabulary entry at one position, from above (OPSD's code; negative summands
are kept, so a divergence may be negative). `divergence_top_k` compares the student's most likely tokens one by one, and
all others together as one more token (SDPO).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.core.settings.choices import Divergence


@dataclass(frozen=True, slots=True, kw_only=True)
class DivergenceOptions:
    """Which divergence is computed, and how it is truncated."""

    kind: Divergence
    beta: float
    """Weight of the teacher in the mixture of `jsd`."""
    top_k: int
    """Tokens compared one by one, the rest as one; 0 for the whole vocabulary."""
    clip: float
    """Largest summand; 0 for no bound."""


def divergence(student_logits_NV: Tensor, teacher_logits_NV: Tensor, *, options: DivergenceOptions) -> Tensor:
    """Compute the divergence at each of `N` positions, `[N]`, from logits already divided by the temperature.

    In float32, or float64 for float64 logits. Only the student gets a gradient. ValueError if the vocabularies differ
    or the kind is `sampled`, which compares no distributions.
    """
    if student_logits_NV.shape != teacher_logits_NV.shape:
        raise ValueError(
            f"student and teacher have logits of the shapes {tuple(student_logits_NV.shape)} and "
            f"{tuple(teacher_logits_NV.shape)}; they must be equal"
        )
    dtype = torch.promote_types(student_logits_NV.dtype, torch.float32)
    student, teacher = student_logits_NV.to(dtype), teacher_logits_NV.detach().to(dtype)
    kept = None
    if 0 < options.top_k < student.shape[-1]:
        kept = student.detach().topk(options.top_k, -1).indices
    summands = _summands(_log_softmax(student, kept=kept), _log_softmax(teacher, kept=kept), options=options)
    return (summands.clamp(max=options.clip) if options.clip > 0 else summands).sum(-1)


def _log_softmax(logits_NV: Tensor, *, kept: Tensor | None) -> Tensor:
    """Compute log-probabilities, `[N, V]`; or `[N, K + 1]` for the `kept` tokens `[N, K]` and all others together."""
    if kept is None:
        return torch.log_softmax(logits_NV, -1)
    total_N1 = logits_NV.logsumexp(-1, keepdim=True)
    rest_N1 = logits_NV.scatter(-1, kept, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.cat([logits_NV.gather(-1, kept), rest_N1], -1) - total_N1


def _summands(student: Tensor, teacher: Tensor, *, options: DivergenceOptions) -> Tensor:
    """Compute each token's contribution to the divergence from log-probabilities."""
    forward = options.kind is Divergence.FORWARD_KL or (options.kind is Divergence.JSD and options.beta == 0)
    reverse = options.kind is Divergence.REVERSE_KL or (options.kind is Divergence.JSD and options.beta == 1)
    if forward:
        return _kl(teacher, student)
    if reverse:
        return _kl(student, teacher)
    if options.kind is not Divergence.JSD:
        raise ValueError(f"the divergence {options.kind} does not compare distributions")
    weight = torch.tensor(options.beta, dtype=student.dtype, device=student.device)
    mixture = torch.logaddexp(teacher + weight.log(), student + (-weight).log1p())
    return options.beta * _kl(teacher, mixture) + (1 - options.beta) * _kl(student, mixture)


def _kl(first: Tensor, second: Tensor) -> Tensor:
    """Compute the summands of `KL(first || second)`."""
    return first.exp() * (first - second)
