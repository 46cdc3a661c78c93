"""Owns one optimizer step: student forward with gradient, credit, surrogate, backward, AdamW on the live adapter.

The old log-probabilities are those noted while sampling. One step is taken for each batch of rollouts, so `rho` would
be 1 if sampling (token by token from a cache, without dropout) and training (whole sequences at once) were the same
arithmetic. In float32 without dropout they are, to about 1e-5; in bfloat16 or with dropout `rho` tells how far they are
apart, and the clips bound what that does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.credit import assign_credit
from worker.engine.methods.base import Credit, Evidence, Options, sequence_credit
from worker.engine.objective import ratio_clipped, surrogate, token_shares
from worker.engine.policy import LIVE_ADAPTER, Policy
from worker.engine.rollout import Rollouts
from worker.engine.scoring import (
    MicroBatch,
    completion_logps,
    micro_batch_inputs,
    padded_tokens,
    student_contexts,
)
from worker.engine.seeds import derive
from worker.engine.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What has been said of the sequences of a step: by the verifier, and by the teachers."""

    advantages_B: Tensor
    teacher_logps_BT: Tensor | None
    """None where no teacher was asked."""
    contrast_logps_BT: Tensor | None
    heard_B: Tensor
    """True where the teacher had every hint it needs."""
    heard_BT: Tensor
    """True at the tokens on which it is heard."""

    def evidence(self, student_logps_bT: Tensor, mask_bT: Tensor, *, rows: Tensor | slice, span: slice) -> Evidence:
        """What a method may look at in a micro-batch."""

        def part(values_BT: Tensor | None) -> Tensor | None:
            return None if values_BT is None else values_BT[rows, span]

        return Evidence(
            advantages_B=self.advantages_B[rows],
            student_logps_BT=student_logps_bT,
            teacher_logps_BT=part(self.teacher_logps_BT),
            contrast_logps_BT=part(self.contrast_logps_BT),
            heard_B=self.heard_B[rows],
            heard_BT=self.heard_BT[rows, span],
            mask_BT=mask_bT,
        )


def options_of(settings: Settings, *, lam: float) -> Options:
    """The part of the settings that a method reads, at the present `lambda`."""
    return Options(
        lam=lam,
        eps_low=settings.eps_w[0],
        eps_high=settings.eps_w[1],
        normalise=settings.normalise,
        first_error=settings.first_error,
        negative_only=settings.negative_only,
        alpha=settings.alpha,
        delta_clip=settings.delta_clip,
        contrast_tau=settings.contrast_tau,
        contrast_threshold=settings.contrast_threshold,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What an optimizer step saw and did. Rows of skipped sequences hold their sequence's credit and NaN logps."""

    loss: float
    gradient_norm: float
    """Before clipping."""
    logps_BT: Tensor
    """`log P_S`; 0 outside the mask."""
    credit: Credit
    ratio_clipped_BT: Tensor
    """True where the clip held `rho`; False in rows of skipped sequences."""
    num_tokens: int
    """Padded tokens that went through the model."""


def make_optimizer(policy: Policy, *, settings: Settings) -> torch.optim.AdamW:
    """AdamW over the live adapter and nothing else.

    ValueError when anything else is trainable: it would be neither optimised nor checkpointed nor exported.
    """
    parameters = list(policy.adapter(LIVE_ADAPTER).values())
    known = {id(parameter) for parameter in parameters}
    named = policy.model.named_parameters()
    strays = [name for name, parameter in named if parameter.requires_grad and id(parameter) not in known]
    if strays:
        raise ValueError(f"the model has trainable parameters beside the adapter: {', '.join(strays[:5])}")
    return torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def accumulate_gradients(
    policy: Policy,
    rollouts: Rollouts,
    signals: Signals,
    *,
    plan: Sequence[MicroBatch],
    lam: float,
    settings: Settings,
) -> Update:
    """Forward, credit and backward of every micro-batch; the gradients of the whole step are left on the adapter.

    Only the sequences of the plan are run. The gradient does not depend on how the plan cuts them.
    """
    parameters = list(policy.adapter(LIVE_ADAPTER).values())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    dtype = torch.promote_types(parameters[0].dtype, torch.float32)
    device, mask_BT = policy.device, rollouts.mask_BT
    shares_BT = token_shares(
        mask_BT, loss=settings.loss, max_completion_tokens=settings.max_completion_tokens, dtype=dtype
    )
    logps_BT = torch.full(mask_BT.shape, torch.nan, dtype=dtype, device=device)
    options, everything = options_of(settings, lam=lam), slice(None)
    credit = sequence_credit(signals.evidence(torch.zeros_like(logps_BT), mask_BT, rows=everything, span=everything))
    held_BT = torch.zeros_like(mask_BT)
    loss, num_tokens = 0.0, 0
    policy.model.train()
    for batch in plan:
        rows, span = batch.sequences.to(device), slice(0, batch.num_completion_tokens)
        ids_bT, mask_bT = micro_batch_inputs(rollouts, batch)
        old_logps_bT = rollouts.sampling_logps_BT[rows, span]
        contexts = student_contexts(rollouts, batch)
        logps_bT = completion_logps(policy, contexts, ids_bT, mask_bT, temperature=settings.temperature)
        evidence = signals.evidence(logps_bT.detach(), mask_bT, rows=rows, span=span)
        current = assign_credit(settings.method, evidence, options)
        objective_bT = surrogate(
            logps_bT,
            old_logps_bT,
            current.advantages_BT,
            mask_bT,
            eps_low=settings.eps_low,
            eps_high=settings.eps_high,
            dual_clip=settings.dual_clip,
        )
        micro_loss = -(objective_bT * shares_BT[rows, span]).sum()
        torch.autograd.backward(micro_loss)

        loss += micro_loss.item()
        num_tokens += padded_tokens(contexts, batch)
        logps_BT[rows] = 0.0
        logps_BT[rows, span] = logps_bT.detach().to(dtype)
        _record(credit, current, rows=rows, span=span)
        held_BT[rows, span] = ratio_clipped(
            logps_bT.detach(), old_logps_bT, current.advantages_BT, mask_bT,
            eps_low=settings.eps_low, eps_high=settings.eps_high,
        )  # fmt: skip
    policy.model.eval()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return Update(
        loss=loss,
        gradient_norm=float(torch.nn.utils.get_total_norm(gradients)),
        logps_BT=logps_BT,
        credit=credit,
        ratio_clipped_BT=held_BT,
        num_tokens=num_tokens,
    )


def update_policy(
    policy: Policy,
    optimizer: torch.optim.AdamW,
    rollouts: Rollouts,
    signals: Signals,
    *,
    plan: Sequence[MicroBatch],
    lam: float,
    step: int,
    settings: Settings,
) -> Update:
    """One optimizer step. FloatingPointError, before any weight moves, when the gradient is not finite.

    A step without any live sequence still counts as one with gradient 0, as it would if nothing were skipped.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(settings.seed, step=step, purpose="dropout"))
        update = accumulate_gradients(policy, rollouts, signals, plan=plan, lam=lam, settings=settings)
    norm = torch.tensor(update.gradient_norm)
    if not norm.isfinite():
        raise FloatingPointError(f"step {step}: the gradient is not finite")
    torch.nn.utils.clip_grads_with_norm_(policy.adapter(LIVE_ADAPTER).values(), settings.max_grad_norm, norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return update


def _record(credit: Credit, current: Credit, *, rows: Tensor, span: slice) -> None:
    """Write a micro-batch's credit into the step's."""
    credit.advantages_BT[rows, span] = current.advantages_BT.to(credit.advantages_BT.dtype)
    credit.weights_BT[rows, span] = current.weights_BT.to(credit.weights_BT.dtype)
    credit.deltas_BT[rows, span] = current.deltas_BT.to(credit.deltas_BT.dtype)
    credit.clipped_BT[rows, span] = current.clipped_BT
