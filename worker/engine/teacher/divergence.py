"""How far a teacher's distribution over the next token is from the student's: the second seam beside token credit.

The original losses of OPSD (arXiv 2601.18734, equations 6 to 8) and SDPO (arXiv 2601.20802, equation 1 and appendix
A.3), for methods that distil; both papers train on minus these. With `P_S` the student, `P_T` the teacher, `b` the
setting `divergence_beta`, and sums over the vocabulary:

```
forward_kl  KL(P_T || P_S) = sum P_T (log P_T - log P_S)
reverse_kl  KL(P_S || P_T) = sum P_S (log P_S - log P_T)
jsd         b KL(P_T || M) + (1 - b) KL(P_S || M)  with  M = b P_T + (1 - b) P_S
```

At its ends the last formula is 0, so both papers' code takes `b = 0` for the forward and `b = 1` for the reverse
divergence; the same is done here. OPSD's recipe is `forward_kl` with `divergence_clip` 0.05, SDPO's `jsd` with `b` 0.5
and `divergence_top_k` 100.

`divergence_clip` holds each summand, one vocabulary entry at one position, at no more than this (OPSD's code; summands
below 0 are kept, so a divergence may come out negative). `divergence_top_k` compares the student's likeliest tokens one
by one, and the rest together as one token more (SDPO).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.types import Divergence


@dataclass(frozen=True, slots=True, kw_only=True)
class DivergenceOptions:
    """What is measured between two distributions."""

    kind: Divergence
    beta: float
    """Weight of the teacher in the mixture of `jsd`."""
    top_k: int
    """Tokens compared one by one, the rest as one; 0 for the whole vocabulary."""
    clip: float
    """Largest summand; 0 for no bound."""


def divergence(student_logits_NV: Tensor, teacher_logits_NV: Tensor, *, of: DivergenceOptions) -> Tensor:
    """The divergence at each of `N` positions, `[N]`, of logits that are already at the temperature.

    In float32, or float64 where the logits are. The gradient reaches the student alone. ValueError where the two speak
    of different vocabularies or where one token is compared with itself (`sampled`).
    """
    if student_logits_NV.shape != teacher_logits_NV.shape:
        raise ValueError(
            f"student and teacher have logits of the shapes {tuple(student_logits_NV.shape)} and "
            f"{tuple(teacher_logits_NV.shape)}; they must be equal"
        )
    dtype = torch.promote_types(student_logits_NV.dtype, torch.float32)
    student, teacher = student_logits_NV.to(dtype), teacher_logits_NV.detach().to(dtype)
    kept = None
    if 0 < of.top_k < student.shape[-1]:
        kept = student.detach().topk(of.top_k, -1).indices
    summands = _summands(_log_softmax(student, kept=kept), _log_softmax(teacher, kept=kept), of=of)
    return (summands.clamp(max=of.clip) if of.clip > 0 else summands).sum(-1)


def _log_softmax(logits_NV: Tensor, *, kept: Tensor | None) -> Tensor:
    """log-probabilities, `[N, V]`; or `[N, K + 1]` of the `kept` tokens `[N, K]` and of all others together."""
    if kept is None:
        return torch.log_softmax(logits_NV, -1)
    total_N1 = logits_NV.logsumexp(-1, keepdim=True)
    rest_N1 = logits_NV.scatter(-1, kept, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.cat([logits_NV.gather(-1, kept), rest_N1], -1) - total_N1


def _summands(student: Tensor, teacher: Tensor, *, of: DivergenceOptions) -> Tensor:
    """What each token adds to the divergence of two log-probabilities."""
    forward = of.kind is Divergence.FORWARD_KL or (of.kind is Divergence.JSD and of.beta == 0)
    reverse = of.kind is Divergence.REVERSE_KL or (of.kind is Divergence.JSD and of.beta == 1)
    if forward:
        return _kl(teacher, student)
    if reverse:
        return _kl(student, teacher)
    if of.kind is not Divergence.JSD:
        raise ValueError(f"the divergence {of.kind} does not compare distributions")
    weight = torch.tensor(of.beta, dtype=student.dtype, device=student.device)
    mixture = torch.logaddexp(teacher + weight.log(), student + (-weight).log1p())
    return of.beta * _kl(teacher, mixture) + (1 - of.beta) * _kl(student, mixture)


def _kl(first: Tensor, second: Tensor) -> Tensor:
    """Summands of `KL(first || second)`."""
    return first.exp() * (first - second)
