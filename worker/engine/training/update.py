"""Owns one optimizer step: student forward with gradient, credit, surrogate, backward, AdamW on the live adapter.

The old log-probabilities are those noted while sampling. One step is taken for each batch of rollouts, so `rho` would
be 1 if sampling (token by token from a cache, without dropout) and training (whole sequences at once) were the same
arithmetic. In float32 without dropout they are, to about 1e-5; in bfloat16 or with dropout `rho` tells how far they are
apart, and the clips bound what that does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worker.engine.credit import assign_credit
from worker.engine.distributed import ProcessGroup
from worker.engine.faults import not_finite
from worker.engine.methods import method_named
from worker.engine.methods.base import Credit, CreditInputs, Options, sequence_credit
from worker.engine.model.policy import LIVE_ADAPTER, Policy
from worker.engine.rollouts.logprobs import (
    MicroBatch,
    completion_states,
    logps_of_states,
    micro_batch_inputs,
    student_contexts,
    tokens_run,
)
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.seeds import derive
from worker.engine.settings import Settings
from worker.engine.teacher.distillation import Distiller, heard_tokens
from worker.engine.training.objective import ratio_clipped, surrogate, token_shares


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTensors:
    """What has been said of the sequences of a step: by the verifier, and by the teachers."""

    advantages_B: Tensor
    teacher_logps_BT: Tensor | None
    """None where no teacher was asked."""
    contrast_logps_BT: Tensor | None
    teacher_mask_B: Tensor
    """True where the teacher had every hint it needs."""
    teacher_mask_BT: Tensor
    """True at the tokens on which it is heard."""

    def evidence(self, student_logps_bT: Tensor, mask_bT: Tensor, *, rows: Tensor | slice, span: slice) -> CreditInputs:
        """What a method may look at in a micro-batch."""

        def part(values_BT: Tensor | None) -> Tensor | None:
            return None if values_BT is None else values_BT[rows, span]

        return CreditInputs(
            advantages_B=self.advantages_B[rows],
            student_logps_BT=student_logps_bT,
            teacher_logps_BT=part(self.teacher_logps_BT),
            contrast_logps_BT=part(self.contrast_logps_BT),
            teacher_mask_B=self.teacher_mask_B[rows],
            teacher_mask_BT=self.teacher_mask_BT[rows, span],
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
    teacher_logps_BT: Tensor | None
    """`log P_T`: as signalled, and as a distiller read it."""
    contrast_logps_BT: Tensor | None
    """The same under the second hint, as signalled."""
    credit: Credit
    ratio_clipped_BT: Tensor
    """True where the clip held `rho`; False in rows of skipped sequences."""
    num_tokens: int
    """Tokens that went through the model, padding included."""


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
    signals: StepTensors,
    *,
    plan: Sequence[MicroBatch],
    lam: float,
    settings: Settings,
    distiller: Distiller | None = None,
) -> Update:
    """Forward, credit and backward of every micro-batch; the gradients of the whole step are left on the adapter.

    Only the sequences of the plan are run. The gradient does not depend on how the plan cuts them. A distiller gives
    the teacher's word instead of the signals: whole distributions in place of sampled tokens.
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
    if not method_named(settings.method).rewarded:  # what is skipped has no credit at all
        credit = replace(credit, advantages_BT=torch.zeros_like(credit.advantages_BT))
    teacher_BT = None if signals.teacher_logps_BT is None else signals.teacher_logps_BT.clone()
    held_BT = torch.zeros_like(mask_BT)
    loss, num_tokens = 0.0, 0
    for batch in plan:
        rows, span = batch.sequences.to(device), slice(0, batch.num_completion_tokens)
        study = _study(policy, rollouts, signals, batch, options=options, settings=settings, distiller=distiller)
        micro_loss = -(study.objective_bT * shares_BT[rows, span]).sum()
        torch.autograd.backward(micro_loss)

        loss += micro_loss.item()
        num_tokens += study.num_tokens
        logps_BT[rows] = 0.0
        logps_BT[rows, span] = study.logps_bT.to(dtype)
        if distiller is not None and teacher_BT is not None and study.teacher_logps_bT is not None:
            teacher_BT[rows, span] = study.teacher_logps_bT.to(teacher_BT)
        _record(credit, study.credit, rows=rows, span=span)
        held_BT[rows, span] = study.ratio_clipped_bT
    policy.model.eval()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return Update(
        loss=loss,
        gradient_norm=float(torch.nn.utils.get_total_norm(gradients)),
        logps_BT=logps_BT,
        teacher_logps_BT=teacher_BT,
        contrast_logps_BT=signals.contrast_logps_BT,
        credit=credit,
        ratio_clipped_BT=held_BT,
        num_tokens=num_tokens,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _MicroBatchResult:
    """What came of a micro-batch; only the objective carries a gradient."""

    objective_bT: Tensor
    """To be raised."""
    logps_bT: Tensor
    teacher_logps_bT: Tensor | None
    credit: Credit
    ratio_clipped_bT: Tensor
    num_tokens: int


def _study(
    policy: Policy,
    rollouts: Rollouts,
    signals: StepTensors,
    batch: MicroBatch,
    *,
    options: Options,
    settings: Settings,
    distiller: Distiller | None,
) -> _MicroBatchResult:
    """Teacher's and student's forward pass, credit and objective of a micro-batch."""
    rows, span = batch.sequences.to(policy.device), slice(0, batch.num_completion_tokens)
    ids_bT, mask_bT = (part.to(policy.device) for part in micro_batch_inputs(rollouts, batch))
    lesson = distiller.lesson(rollouts, batch) if distiller else None  # it may change adapters: before the student
    if not policy.model.training:
        policy.model.train()
    contexts = student_contexts(rollouts, batch)
    states_bTH = completion_states(policy, contexts, ids_bT, mask_bT)
    logps_bT = logps_of_states(policy, states_bTH, ids_bT, mask_bT, temperature=settings.temperature)
    evidence = signals.evidence(logps_bT.detach(), mask_bT, rows=rows, span=span)
    if lesson is not None:
        evidence = replace(evidence, teacher_logps_BT=lesson.logps_bT.to(policy.device))
    credit = assign_credit(settings.method, evidence, options)
    advantages_bT, drawback_bT = credit.advantages_BT, torch.zeros_like(logps_bT)
    if distiller is not None:
        rewarded = method_named(settings.method).rewarded
        given_bT = sequence_credit(evidence).advantages_BT
        advantages_bT = given_bT if rewarded else torch.zeros_like(given_bT)
        if lesson is not None:
            teacher_mask_bT = heard_tokens(evidence, credit, options)
            apart_bT = distiller.divergences(policy, states_bTH, lesson, teacher_mask_bT)
            drawback_bT = (options.alpha if rewarded else 1.0) * apart_bT
        credit = replace(credit, advantages_BT=advantages_bT - drawback_bT.detach())
    clips = {"eps_low": settings.eps_low, "eps_high": settings.eps_high}
    old_bT = rollouts.sampling_logps_BT[rows, span]
    gained_bT = surrogate(logps_bT, old_bT, advantages_bT, mask_bT, **clips, dual_clip=settings.dual_clip)
    return _MicroBatchResult(
        objective_bT=gained_bT - drawback_bT,
        logps_bT=logps_bT.detach(),
        teacher_logps_bT=evidence.teacher_logps_BT,
        credit=credit,
        ratio_clipped_bT=ratio_clipped(logps_bT.detach(), old_bT, advantages_bT, mask_bT, **clips),
        num_tokens=tokens_run(policy, contexts, mask_bT),
    )


def update_policy(
    policy: Policy,
    optimizer: torch.optim.AdamW,
    rollouts: Rollouts,
    signals: StepTensors,
    *,
    plan: Sequence[MicroBatch],
    lam: float,
    step: int,
    settings: Settings,
    distiller: Distiller | None = None,
    world: ProcessGroup = ProcessGroup.alone(),
) -> Update:
    """One optimizer step. Fault, before any weight moves, when the loss or the gradient is not finite.

    A step without any live sequence still counts as one with gradient 0, as it would if nothing were skipped. The plan
    is this process' share of the live sequences; gradient, loss and token count are those of all.
    """
    with torch.random.fork_rng():
        purpose = "dropout" if world.leads else f"dropout {world.rank}"
        torch.manual_seed(derive(settings.seed, step=step, purpose=purpose))
        update = accumulate_gradients(
            policy, rollouts, signals, plan=plan, lam=lam, settings=settings, distiller=distiller
        )
    update = _of_all(update, policy=policy, world=world)
    norm = torch.tensor(update.gradient_norm)
    if not (norm.isfinite() and math.isfinite(update.loss)):
        raise not_finite(f"step {step}: the {'gradient' if math.isfinite(update.loss) else 'loss'}")
    torch.nn.utils.clip_grads_with_norm_(policy.adapter(LIVE_ADAPTER).values(), settings.max_grad_norm, norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return update


def _of_all(update: Update, *, policy: Policy, world: ProcessGroup) -> Update:
    """Add up the gradients of all processes, and with them what is said of the step as a whole."""
    if world.size == 1:
        return update
    gradients = [p.grad for p in policy.adapter(LIVE_ADAPTER).values() if p.grad is not None]
    world.add_up(gradients)
    return replace(
        update,
        loss=world.total(update.loss),
        gradient_norm=float(torch.nn.utils.get_total_norm(gradients)),
        num_tokens=int(world.total(update.num_tokens)),
    )


def _record(credit: Credit, current: Credit, *, rows: Tensor, span: slice) -> None:
    """Write a micro-batch's credit into the step's."""
    credit.advantages_BT[rows, span] = current.advantages_BT.to(credit.advantages_BT.dtype)
    credit.weights_BT[rows, span] = current.weights_BT.to(credit.weights_BT.dtype)
    credit.deltas_BT[rows, span] = current.deltas_BT.to(credit.deltas_BT.dtype)
    credit.clipped_BT[rows, span] = current.clipped_BT
