"""Credit assignment: pure functions from log-probabilities to token advantages, without model or I/O.

Each method is one file in `methods/`; docs/rlsd.md sections 1, 3 and 6 specify them.
"""

import torch
from torch import Tensor

from backend.core.methods import method_named
from worker.engine.methods import METHODS
from worker.engine.methods.base import Credit, CreditInputs, Options, with_practice


def assign_credit(method: str, inputs: CreditInputs, options: Options) -> Credit:
    """Compute token advantages, weights and deltas, all without gradient.

    ValueError for an unknown method, one that imitates, or missing teacher log-probabilities.
    """
    name = method_named(method).name
    if name not in METHODS:
        raise ValueError(f"the method {name} imitates and assigns no credit")
    return with_practice(METHODS[name](inputs, options), inputs)


def token_advantages(
    method: str,
    advantages: Tensor,
    student_logps: Tensor,
    teacher_logps: Tensor | None,
    mask: Tensor,
    options: Options,
    *,
    contrast_logps: Tensor | None = None,
    teacher_mask: Tensor | None = None,
    rewards: Tensor | None = None,
    baselines: Tensor | None = None,
) -> Tensor:
    """Compute `A^_t` of every token, `[B, T]`, 0 outside the mask, without gradient.

    `advantages` is `[B]`, one per sequence; `student_logps`, `teacher_logps`, `contrast_logps` and `mask` are `[B, T]`.
    `teacher_mask` is `[B]` or `[B, T]`: the teacher is ignored where it is False; None uses the teacher everywhere.
    `rewards` and `baselines`, `[B]`, are those of `CreditInputs`, for `good_prefix`. Values outside the mask, NaN
    included, have no effect. At `lam = 0` a weighting method returns `A` bit for bit and needs no teacher. ValueError
    for an unknown method or missing teacher log-probabilities, and for `sc_grpo`, which needs divergences too.
    """
    everywhere_BT = torch.ones_like(mask, dtype=torch.bool)
    by_token = teacher_mask is not None and teacher_mask.dim() == 2
    inputs = CreditInputs(
        advantages_B=advantages.detach(),
        student_logps_BT=student_logps.detach(),
        teacher_logps_BT=None if teacher_logps is None else teacher_logps.detach(),
        contrast_logps_BT=None if contrast_logps is None else contrast_logps.detach(),
        teacher_mask_B=everywhere_BT[:, 0] if teacher_mask is None or by_token else teacher_mask.bool(),
        teacher_mask_BT=teacher_mask.bool() if teacher_mask is not None and by_token else everywhere_BT,
        mask_BT=mask.bool(),
        rewards_B=None if rewards is None else rewards.detach(),
        baselines_B=None if baselines is None else baselines.detach(),
        divergences_BT=None,
        divergence_scale=None,
        practised_B=torch.zeros_like(everywhere_BT[:, 0]),
    )
    return assign_credit(method, inputs, options).advantages_BT


def lambda_at(step: int, *, lam: float, decay_steps: int) -> float:
    """Return `lambda` at a step (from 1): linear decay from `lam` to 0 over `decay_steps`; constant where that is 0."""
    if decay_steps == 0:
        return lam
    return lam * max(0.0, 1 - (step - 1) / decay_steps)
