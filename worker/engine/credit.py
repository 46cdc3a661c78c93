"""Owns who gets the credit: joins the methods into pure functions on log-probabilities, without model or I/O.

A method is one file in `methods/`; RLSD.md sections 1, 3 and 6 are the specification.
"""

from torch import Tensor

from worker.engine.methods import method_named
from worker.engine.methods.base import Credit, Evidence, Options


def assign_credit(
    method: str,
    advantages_B: Tensor,
    student_logps_BT: Tensor,
    teacher_logps_BT: Tensor | None,
    mask_BT: Tensor,
    *,
    lam: float,
    eps_w: float | tuple[float, float],
    normalise: bool = False,
    first_error: bool = False,
) -> Credit:
    """Token advantages together with the weights and deltas behind them; arguments as in `token_advantages`."""
    eps_low, eps_high = (eps_w, eps_w) if isinstance(eps_w, int | float) else eps_w
    evidence = Evidence(
        advantages_B=advantages_B.detach(),
        student_logps_BT=student_logps_BT.detach(),
        teacher_logps_BT=None if teacher_logps_BT is None else teacher_logps_BT.detach(),
        mask_BT=mask_BT.bool(),
    )
    options = Options(lam=lam, eps_low=eps_low, eps_high=eps_high, normalise=normalise, first_error=first_error)
    return method_named(method).credit(evidence, options)


def token_advantages(
    method: str,
    advantages: Tensor,
    student_logps: Tensor,
    teacher_logps: Tensor | None,
    mask: Tensor,
    *,
    lam: float,
    eps_w: float | tuple[float, float],
    normalise: bool = False,
    first_error: bool = False,
) -> Tensor:
    """`A^_t` of every token, `[B, T]`, 0 outside the mask; no gradient flows through it.

    `advantages` is `[B]`, one a sequence; `student_logps`, `teacher_logps` and `mask` are `[B, T]`.
    `eps_w` is a number or a pair: weights are clipped to `[1 - eps_w, 1 + eps_w]` or `[1 - eps_w[0], 1 + eps_w[1]]`.
    Whatever stands outside the mask, NaN included, has no influence. At `lam = 0` the result is `A` bit for bit and
    the teacher is not asked. ValueError for an unknown method or a missing teacher.
    """
    return assign_credit(
        method,
        advantages,
        student_logps,
        teacher_logps,
        mask,
        lam=lam,
        eps_w=eps_w,
        normalise=normalise,
        first_error=first_error,
    ).advantages_BT


def lambda_at(step: int, *, lam: float, decay_steps: int) -> float:
    """`lambda` at a step (from 1): falls linearly from `lam` to 0 over `decay_steps`, or stays where that is 0."""
    if decay_steps == 0:
        return lam
    return lam * max(0.0, 1 - (step - 1) / decay_steps)
