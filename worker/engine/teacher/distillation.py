"""Divergences between a teacher's and the student's full distributions, at the tokens of a micro-batch.

The teacher runs first, without a gradient, and keeps its hidden states, so no adapter is switched between the student's
forward and backward pass. Logits are computed from the states one chunk of tokens at a time, compared and freed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.core.settings.choices import TeacherWeights
from worker.engine.methods.base import Credit, CreditInputs, Options, after_first_error
from worker.engine.model.policy import Policy
from worker.engine.model.token_logprobs import tokens_per_chunk
from worker.engine.model.traits import head_is_trained, project
from worker.engine.rollouts.logprobs import (
    MicroBatch,
    completion_states,
    logps_of_states,
    micro_batch_inputs,
    student_contexts,
)
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import SequenceContexts
from worker.engine.teacher.divergence import DivergenceOptions, divergence
from worker.engine.teacher.signals import batch_contexts, keep_with_context

LIVE_COPIES = 4
"""Tensors of a chunk's logits that are alive at a time when two distributions are compared, roughly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOutputs:
    """A teacher's forward pass over a micro-batch."""

    states_bTH: Tensor
    """States that predict each token; see `project`. Zero for sequences without a context."""
    logps_bT: Tensor
    """log-probabilities of the sampled tokens; NaN for sequences without a context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distiller:
    """A teacher whose full distributions the student is trained on."""

    policy: Policy
    weights: TeacherWeights
    contexts: SequenceContexts
    temperature: float
    options: DivergenceOptions

    def teacher_outputs(self, rollouts: Rollouts, batch: MicroBatch) -> TeacherOutputs | None:
        """Run the teacher on the micro-batch; None if no sequence has a context. Leaves the model in eval mode."""
        kept = keep_with_context(batch, self.contexts)
        if len(kept.sequences) == 0:
            return None
        ids_bT, mask_bT = micro_batch_inputs(rollouts, kept)
        ids_bT, mask_bT = ids_bT.to(self.policy.device), mask_bT.to(self.policy.device)
        self.policy.model.eval()
        with torch.no_grad(), self.policy.weights(self.weights):
            states_bTH = completion_states(self.policy, batch_contexts(self.contexts, kept), ids_bT, mask_bT)
            logps_bT = logps_of_states(self.policy, states_bTH, ids_bT, mask_bT, temperature=self.temperature)
        has_context = torch.isin(batch.sequences, kept.sequences).to(states_bTH.device)
        size = len(batch.sequences)
        return TeacherOutputs(
            states_bTH=states_bTH.new_zeros(size, *states_bTH.shape[1:]).index_put((has_context,), states_bTH),
            logps_bT=logps_bT.new_full((size, *logps_bT.shape[1:]), torch.nan).index_put((has_context,), logps_bT),
        )

    def measure(self, student: Policy, rollouts: Rollouts, batch: MicroBatch) -> tuple[Tensor, Tensor] | None:
        """Return the teacher's log-probabilities, NaN without a context, and divergences, 0 there, `[b, T]` each.

        Both without a gradient, and with both models in eval mode; None if no sequence has a context.
        """
        outputs = self.teacher_outputs(rollouts, batch)
        if outputs is None:
            return None
        student.model.eval()
        ids_bT, mask_bT = (part.to(student.device) for part in micro_batch_inputs(rollouts, batch))
        with torch.no_grad():
            states_bTH = completion_states(student, student_contexts(rollouts, batch), ids_bT, mask_bT)
            consulted_bT = mask_bT & ~outputs.logps_bT.isnan().to(mask_bT.device)
            teacher_NH = outputs.states_bTH[consulted_bT.to(outputs.states_bTH.device)]
            chunks = [
                _divergence(project(student, states), _teacher_logits(teacher, self), self)
                for states, teacher in _chunks(states_bTH[consulted_bT], teacher_NH, student=student)
            ]
        measured_N = torch.cat(chunks)
        return outputs.logps_bT, measured_N.new_zeros(mask_bT.shape).masked_scatter(consulted_bT, measured_N)

    def divergences(
        self, student: Policy, states_bTH: Tensor, outputs: TeacherOutputs, teacher_mask_bT: Tensor
    ) -> Tensor:
        """Compute the divergence at each token of the mask, `[b, T]`, 0 elsewhere. Differentiable in `states_bTH`."""
        teacher_NH = outputs.states_bTH[teacher_mask_bT.to(outputs.states_bTH.device)]
        divergences_N: Tensor = _Divergences.apply(states_bTH[teacher_mask_bT], teacher_NH, student, self)  # type: ignore[no-untyped-call]
        return divergences_N.new_zeros(teacher_mask_bT.shape).masked_scatter(teacher_mask_bT, divergences_N)


def divergence_options(settings: Settings) -> DivergenceOptions:
    """Return the divergence options of these settings."""
    return DivergenceOptions(
        kind=settings.divergence,
        beta=settings.divergence_beta,
        top_k=settings.divergence_top_k,
        clip=settings.divergence_clip,
    )


def require_frozen_head(policy: Policy) -> None:
    """Raise ValueError if the output layer is trained: divergences pass their gradient to the states before it only."""
    if head_is_trained(policy):
        raise ValueError(
            "a divergence over the vocabulary passes no gradient to the output layer, so an adapter there would not "
            "learn from the teacher: remove the output layer from lora_target_modules, or set divergence to sampled"
        )


def distilled_tokens(inputs: CreditInputs, credit: Credit, options: Options) -> Tensor:
    """Return a mask of the tokens that are trained on the teacher's distribution, `[B, T]`."""
    teacher_mask_BT = inputs.mask_BT & inputs.teacher_mask_BT & inputs.teacher_mask_B[:, None]
    return teacher_mask_BT & ~after_first_error(credit.deltas_BT) if options.first_error else teacher_mask_BT


class _Divergences(torch.autograd.Function):
    """Divergences from hidden states, `[N]`. Gradients are computed in the forward pass, while the logits exist."""

    @staticmethod
    def forward(ctx: Any, states_NH: Tensor, teacher_NH: Tensor, student: Policy, distiller: Distiller) -> Tensor:
        divergences: list[Tensor] = []
        gradients: list[Tensor] = []
        for chunk, teacher_states in _chunks(states_NH, teacher_NH, student=student):
            states = chunk.detach().requires_grad_()
            with torch.enable_grad():
                chunk_N = _divergence(project(student, states), _teacher_logits(teacher_states, distiller), distiller)
            divergences.append(chunk_N.detach())
            gradients += torch.autograd.grad(chunk_N, states, torch.ones_like(chunk_N))
        ctx.save_for_backward(torch.cat(gradients) if gradients else torch.zeros_like(states_NH))
        return torch.cat(divergences) if divergences else states_NH.new_zeros(0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradients_NH,) = ctx.saved_tensors
        return (grad_outputs[0][:, None] * gradients_NH).to(gradients_NH.dtype), None, None, None


def _chunks(states_NH: Tensor, teacher_NH: Tensor, *, student: Policy) -> Iterator[tuple[Tensor, Tensor]]:
    size = tokens_per_chunk(student, copies=LIVE_COPIES)
    if len(states_NH) > 0:
        yield from zip(torch.split(states_NH, size), torch.split(teacher_NH, size), strict=True)


def _teacher_logits(states_NH: Tensor, distiller: Distiller) -> Tensor:
    with torch.no_grad():
        return project(distiller.policy, states_NH)


def _divergence(student_NV: Tensor, teacher_NV: Tensor, distiller: Distiller) -> Tensor:
    """Compute the divergence over the shared vocabulary: models of a family pad theirs to different sizes."""
    shared = min(student_NV.shape[1], teacher_NV.shape[1])
    logits = [logits_NV[:, :shared].to(student_NV.device) for logits_NV in (student_NV, teacher_NV)]
    scaled = [values.to(torch.promote_types(values.dtype, torch.float32)) / distiller.temperature for values in logits]
    return divergence(*scaled, options=distiller.options)
