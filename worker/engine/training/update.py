"""One optimizer step: student forward with gradient, credit, surrogate, backward, AdamW on the live adapter.

The old log-probabilities are those recorded while sampling. There is one step per batch of rollouts, so `rho` would be
1 if sampling (token by token with a cache, without dropout) and training (whole sequences) gave equal numbers. In
float32 without dropout they agree to about 1e-5; in bfloat16 or with dropout `rho` measures the difference, and the
clips bound its effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backend.core.methods import method_named
from backend.core.settings.choices import TeacherWeights
from worker.engine.credit import assign_credit
from worker.engine.distributed import ProcessGroup
from worker.engine.methods.base import Credit, CreditInputs, Options, sequence_credit
from worker.engine.model.policy import LIVE_ADAPTER, Policy
from worker.engine.rollouts.logprobs import (
    MicroBatch,
    completion_logps,
    completion_states,
    logps_of_states,
    micro_batch_inputs,
    student_contexts,
    tokens_run,
)
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.seeds import derive
from worker.engine.settings import Settings
from worker.engine.teacher.distillation import Distiller, distilled_tokens
from worker.engine.training.objective import kl_estimate, loss_weights, ratio_clipped, surrogate
from worker.engine.training.optimizer import gradient_norm, reduce_gradients, take_optimizer_step, zero_gradients
from worker.engine.training.schedule import learning_rate_at


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTensors:
    """Advantages and teacher log-probabilities of a step's sequences."""

    advantages_B: Tensor
    teacher_logps_BT: Tensor | None
    """None without a teacher pass."""
    contrast_logps_BT: Tensor | None
    teacher_mask_B: Tensor
    """True where the teacher had all hints that it needs."""
    teacher_mask_BT: Tensor
    """True at tokens where the teacher is used."""
    rewards_B: Tensor
    """Scores, NaN where there is none."""
    baselines_B: Tensor | None
    """The mean value of each sequence's group; None if the method does not value tokens."""
    divergences_BT: Tensor | None
    """Divergences of the teacher, if the method weights by them, and their scale."""
    divergence_scale: float | None
    practised_B: Tensor
    """True for sequences of practice, which get the credit of GRPO."""

    def credit_inputs(
        self, student_logps_bT: Tensor, mask_bT: Tensor, *, rows: Tensor | slice, span: slice
    ) -> CreditInputs:
        """Return the credit method's inputs for a micro-batch."""

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
            rewards_B=self.rewards_B[rows],
            baselines_B=None if self.baselines_B is None else self.baselines_B[rows],
            divergences_BT=part(self.divergences_BT),
            divergence_scale=self.divergence_scale,
            practised_B=self.practised_B[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainBatch:
    """What one optimizer step learns from."""

    rollouts: Rollouts
    step_tensors: StepTensors
    plan: Sequence[MicroBatch]
    """This process' share of the live sequences; the others are skipped."""
    lam: float
    """`lambda` at this step."""
    distiller: Distiller | None = None
    """Whole distributions of the teacher, which replace its log-probabilities of sampled tokens."""


def credit_options(settings: Settings, *, lam: float) -> Options:
    """Return the credit method's options, at the current `lambda`."""
    return Options(
        lam=lam,
        weight_low=settings.eps_w[0],
        weight_high=settings.eps_w[1],
        normalise=settings.normalise,
        first_error=settings.first_error,
        negative_only=settings.negative_only,
        alpha=settings.alpha,
        delta_clip=settings.delta_clip,
        contrast_tau=settings.contrast_tau,
        contrast_threshold=settings.contrast_threshold,
        alpha_prefix=settings.alpha_prefix,
        prefix_margin=settings.prefix_margin,
        success_above=settings.success_above,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Results of an optimizer step. Rows of skipped sequences have the sequence's credit and NaN log-probabilities."""

    loss: float
    gradient_norm: float
    """Before clipping."""
    logps_BT: Tensor
    """`log P_S`; 0 outside the mask."""
    teacher_logps_BT: Tensor | None
    """`log P_T`, from the step's tensors or from the distiller."""
    contrast_logps_BT: Tensor | None
    """The same under the second hint."""
    credit: Credit
    ratio_clipped_BT: Tensor
    """True where `rho` was clipped; False in rows of skipped sequences."""
    kl_BT: Tensor | None
    """Estimate of the KL divergence to the base model; None where it is not penalised."""
    num_tokens: int
    """Tokens of the passes of student and base model, padding included."""


def accumulate_gradients(policy: Policy, batch: TrainBatch, *, settings: Settings) -> Update:
    """Run forward, credit and backward of every micro-batch; the step's gradients accumulate on the adapter.

    The gradient does not depend on the division of the plan's sequences into micro-batches.
    """
    rollouts, step_tensors = batch.rollouts, batch.step_tensors
    zero_gradients(policy)
    dtype = torch.promote_types(next(iter(policy.adapter(LIVE_ADAPTER).values())).dtype, torch.float32)
    device, mask_BT = policy.device, rollouts.mask_BT
    in_loss_B = rollouts.in_loss_B(mask_truncated=settings.mask_truncated)
    loss_weights_BT = loss_weights(
        mask_BT & in_loss_B[:, None],
        loss=settings.loss,
        max_completion_tokens=settings.max_completion_tokens,
        dtype=dtype,
    )
    logps_BT = torch.full(mask_BT.shape, torch.nan, dtype=dtype, device=device)
    all_rows = slice(None)
    inputs = step_tensors.credit_inputs(torch.zeros_like(logps_BT), mask_BT, rows=all_rows, span=all_rows)
    credit = sequence_credit(inputs)
    method = method_named(settings.method)
    if not method.rewarded or method.values_tokens:  # skipped sequences have no credit at all
        credit = replace(credit, advantages_BT=torch.zeros_like(credit.advantages_BT))
    teacher_BT = None if step_tensors.teacher_logps_BT is None else step_tensors.teacher_logps_BT.clone()
    ratio_clipped_BT = torch.zeros_like(mask_BT)
    kl_BT = torch.zeros_like(logps_BT) if settings.kl_beta > 0 else None
    loss, num_tokens = 0.0, 0
    for micro_batch in batch.plan:
        rows, span = micro_batch.sequences.to(device), slice(0, micro_batch.num_completion_tokens)
        result = _forward_micro_batch(policy, batch, micro_batch, settings=settings)
        micro_loss = -(result.objective_bT * loss_weights_BT[rows, span]).sum()
        torch.autograd.backward(micro_loss)

        loss += micro_loss.item()
        num_tokens += result.num_tokens
        logps_BT[rows] = 0.0
        logps_BT[rows, span] = result.logps_bT.to(dtype)
        if batch.distiller is not None and teacher_BT is not None and result.teacher_logps_bT is not None:
            teacher_BT[rows, span] = result.teacher_logps_bT.to(teacher_BT)
        _write_credit(credit, result.credit, rows=rows, span=span)
        ratio_clipped_BT[rows, span] = result.ratio_clipped_bT
        if kl_BT is not None and result.kl_bT is not None:
            kl_BT[rows, span] = result.kl_bT.to(dtype)
    policy.model.eval()
    return Update(
        loss=loss,
        gradient_norm=gradient_norm(policy),
        logps_BT=logps_BT,
        teacher_logps_BT=teacher_BT,
        contrast_logps_BT=step_tensors.contrast_logps_BT,
        credit=credit,
        ratio_clipped_BT=ratio_clipped_BT,
        kl_BT=kl_BT,
        num_tokens=num_tokens,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _MicroBatchResult:
    """Results of a micro-batch; only the objective carries a gradient."""

    objective_bT: Tensor
    """To be maximised."""
    logps_bT: Tensor
    teacher_logps_bT: Tensor | None
    credit: Credit
    ratio_clipped_bT: Tensor
    kl_bT: Tensor | None
    num_tokens: int


def _forward_micro_batch(
    policy: Policy, batch: TrainBatch, micro_batch: MicroBatch, *, settings: Settings
) -> _MicroBatchResult:
    """Run the teacher's and the student's forward pass, credit and objective of a micro-batch."""
    rollouts, distiller, options = batch.rollouts, batch.distiller, credit_options(settings, lam=batch.lam)
    rows, span = micro_batch.sequences.to(policy.device), slice(0, micro_batch.num_completion_tokens)
    ids_bT, mask_bT = (part.to(policy.device) for part in micro_batch_inputs(rollouts, micro_batch))
    contexts = student_contexts(rollouts, micro_batch)
    # Before the student's pass, because both may switch adapters.
    reference_bT = None
    if settings.kl_beta > 0:
        policy.model.eval()
        with torch.no_grad(), policy.weights(TeacherWeights.BASE):
            reference_bT = completion_logps(policy, contexts, ids_bT, mask_bT, temperature=settings.temperature)
    outputs = distiller.teacher_outputs(rollouts, micro_batch) if distiller else None
    if not policy.model.training:
        policy.model.train()
    states_bTH = completion_states(policy, contexts, ids_bT, mask_bT)
    logps_bT = logps_of_states(policy, states_bTH, ids_bT, mask_bT, temperature=settings.temperature)
    inputs = batch.step_tensors.credit_inputs(logps_bT.detach(), mask_bT, rows=rows, span=span)
    if outputs is not None:
        inputs = replace(inputs, teacher_logps_BT=outputs.logps_bT.to(policy.device))
    credit = assign_credit(settings.method, inputs, options)
    advantages_bT, penalty_bT = credit.advantages_BT, torch.zeros_like(logps_bT)
    if distiller is not None:
        uses_reward = method_named(settings.method).rewarded
        reward_advantages_bT = sequence_credit(inputs).advantages_BT
        advantages_bT = reward_advantages_bT if uses_reward else torch.zeros_like(reward_advantages_bT)
        if outputs is not None:
            teacher_mask_bT = distilled_tokens(inputs, credit, options)
            divergences_bT = distiller.divergences(policy, states_bTH, outputs, teacher_mask_bT)
            penalty_bT = (options.alpha if uses_reward else 1.0) * divergences_bT
        credit = replace(credit, advantages_BT=advantages_bT - penalty_bT.detach())
    clips = {"eps_low": settings.eps_low, "eps_high": settings.eps_high}
    old_bT = rollouts.sampling_logps_BT[rows, span]
    surrogate_bT = surrogate(logps_bT, old_bT, advantages_bT, mask_bT, **clips, dual_clip=settings.dual_clip)
    objective_bT, kl_bT, passes = surrogate_bT - penalty_bT, None, 1
    if reference_bT is not None:
        kl_bT, passes = kl_estimate(logps_bT, old_bT, reference_bT, mask_bT), 2
        objective_bT = objective_bT - settings.kl_beta * kl_bT
    return _MicroBatchResult(
        objective_bT=objective_bT,
        logps_bT=logps_bT.detach(),
        teacher_logps_bT=inputs.teacher_logps_BT,
        credit=credit,
        ratio_clipped_bT=ratio_clipped(logps_bT.detach(), old_bT, advantages_bT, mask_bT, **clips),
        kl_bT=None if kl_bT is None else kl_bT.detach(),
        num_tokens=passes * tokens_run(policy, contexts, mask_bT),
    )


def update_policy(
    policy: Policy,
    optimizer: torch.optim.AdamW,
    batch: TrainBatch,
    *,
    step: int,
    settings: Settings,
    steps_before: int = 0,
    world: ProcessGroup = ProcessGroup.single(),
) -> Update:
    """Take the optimizer step of the method's step `step`, after `steps_before` of a warm start.

    Fault, before weights change, when the loss or the gradient is not finite. A step without live sequences is a step
    with gradient 0, as if nothing were skipped. Gradient, loss and token count are summed over all processes.
    """
    with torch.random.fork_rng():
        purpose = "dropout" if world.is_leader else f"dropout {world.rank}"
        torch.manual_seed(derive(settings.seed, step=step, purpose=purpose))
        update = accumulate_gradients(policy, batch, settings=settings)
    update = _reduced(update, policy=policy, world=world)
    take_optimizer_step(
        policy,
        optimizer,
        loss=update.loss,
        norm=update.gradient_norm,
        learning_rate=learning_rate_at(step, settings=settings),
        step=steps_before + step,
        settings=settings,
    )
    return update


def _reduced(update: Update, *, policy: Policy, world: ProcessGroup) -> Update:
    """Sum gradients, loss and token count over all processes."""
    if world.size == 1:
        return update
    reduce_gradients(policy, world=world)
    return replace(
        update,
        loss=world.total(update.loss),
        gradient_norm=gradient_norm(policy),
        num_tokens=int(world.total(update.num_tokens)),
    )


def _write_credit(credit: Credit, current: Credit, *, rows: Tensor, span: slice) -> None:
    """Write a micro-batch's credit into the step's."""
    credit.advantages_BT[rows, span] = current.advantages_BT.to(credit.advantages_BT.dtype)
    credit.weights_BT[rows, span] = current.weights_BT.to(credit.weights_BT.dtype)
    credit.deltas_BT[rows, span] = current.deltas_BT.to(credit.deltas_BT.dtype)
    credit.clipped_BT[rows, span] = current.clipped_BT
