"""Owns the comparison of a teacher's whole distributions with the student's, at the tokens of a micro-batch.

The teacher reads first, without a gradient, and leaves its states; so no adapter is changed between the student's
forward pass and its backward pass. The logits of a chunk of tokens are made from the states, compared and forgotten.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worker.engine.methods.base import Credit, CreditInputs, Options, after_first_error
from worker.engine.model.policy import Policy
from worker.engine.model.token_logprobs import CHUNK_ELEMENTS
from worker.engine.model.traits import head_learns, project
from worker.engine.rollouts.logprobs import MicroBatch, completion_states, logps_of_states, micro_batch_inputs
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import Reading
from worker.engine.teacher.divergence import DivergenceOptions, divergence
from worker.engine.teacher.signals import contexts_of, told
from worker.engine.types import Divergence, TeacherWeights

FORMS = 4
"""About as many tensors of a chunk's logits are alive at a time when two distributions are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOutputs:
    """What a teacher made of the completions of a micro-batch."""

    states_bTH: Tensor
    """States that predict each token; see `project`. Zero where there was nothing to read."""
    logps_bT: Tensor
    """log-probabilities of the sampled tokens; NaN where there was nothing to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distiller:
    """A teacher whose whole distributions are learnt from."""

    policy: Policy
    weights: TeacherWeights
    reading: Reading
    temperature: float
    comparison: DivergenceOptions

    def lesson(self, rollouts: Rollouts, batch: MicroBatch) -> TeacherOutputs | None:
        """Read the micro-batch; None where there is nothing to read. The model is left in evaluation mode."""
        kept = told(batch, self.reading)
        if len(kept.sequences) == 0:
            return None
        ids_bT, mask_bT = micro_batch_inputs(rollouts, kept)
        ids_bT, mask_bT = ids_bT.to(self.policy.device), mask_bT.to(self.policy.device)
        self.policy.model.eval()
        with torch.no_grad(), self.policy.weights(self.weights):
            states_bTH = completion_states(self.policy, contexts_of(self.reading, kept), ids_bT, mask_bT)
            logps_bT = logps_of_states(self.policy, states_bTH, ids_bT, mask_bT, temperature=self.temperature)
        places = torch.isin(batch.sequences, kept.sequences).to(states_bTH.device)
        size = len(batch.sequences)
        return TeacherOutputs(
            states_bTH=states_bTH.new_zeros(size, *states_bTH.shape[1:]).index_put((places,), states_bTH),
            logps_bT=logps_bT.new_full((size, *logps_bT.shape[1:]), torch.nan).index_put((places,), logps_bT),
        )

    def divergences(
        self, student: Policy, states_bTH: Tensor, lesson: TeacherOutputs, teacher_mask_bT: Tensor
    ) -> Tensor:
        """The divergence at each heard token, `[b, T]`, 0 elsewhere; with a gradient for the student's states."""
        theirs_NH = lesson.states_bTH[teacher_mask_bT.to(lesson.states_bTH.device)]
        found_N: Tensor = _Divergences.apply(states_bTH[teacher_mask_bT], theirs_NH, student, self)  # type: ignore[no-untyped-call]
        return found_N.new_zeros(teacher_mask_bT.shape).masked_scatter(teacher_mask_bT, found_N)


def comparison_of(settings: Settings) -> DivergenceOptions:
    """What the settings compare."""
    return DivergenceOptions(
        kind=Divergence(settings.divergence),
        beta=settings.divergence_beta,
        top_k=settings.divergence_top_k,
        clip=settings.divergence_clip,
    )


def refuse_trained_head(policy: Policy) -> None:
    """ValueError where the output layer is trained: the gradient of a divergence ends at the states before it."""
    if head_learns(policy):
        raise ValueError(
            "divergence sends no gradient into the output layer, so an adapter there would learn nothing from the "
            "teacher: leave the output layer out of lora_target_modules, or use the divergence sampled"
        )


def heard_tokens(evidence: CreditInputs, credit: Credit, options: Options) -> Tensor:
    """True at the tokens where the teacher's word counts, `[B, T]`."""
    teacher_mask_BT = evidence.mask_BT & evidence.teacher_mask_BT & evidence.teacher_mask_B[:, None]
    return teacher_mask_BT & ~after_first_error(credit.deltas_BT) if options.first_error else teacher_mask_BT


class _Divergences(torch.autograd.Function):
    """Divergences of states, `[N]`. As in `logprobs.py` their gradients are taken while the logits are there."""

    @staticmethod
    def forward(ctx: Any, states_NH: Tensor, theirs_NH: Tensor, student: Policy, distiller: Distiller) -> Tensor:
        found: list[Tensor] = []
        slopes: list[Tensor] = []
        for chunk, theirs in _chunks(states_NH, theirs_NH, student=student):
            states = chunk.detach().requires_grad_()
            with torch.enable_grad():
                part = _compare(project(student, states), _teacher_logits(theirs, distiller), distiller)
            found.append(part.detach())
            slopes += torch.autograd.grad(part, states, torch.ones_like(part))
        ctx.save_for_backward(torch.cat(slopes) if slopes else torch.zeros_like(states_NH))
        return torch.cat(found) if found else states_NH.new_zeros(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (slopes_NH,) = ctx.saved_tensors
        return (gradients[0][:, None] * slopes_NH).to(slopes_NH.dtype), None, None, None


def _chunks(states_NH: Tensor, theirs_NH: Tensor, *, student: Policy) -> Iterator[tuple[Tensor, Tensor]]:
    vocabulary = student.model.config.get_text_config(decoder=True).vocab_size
    size = max(1, CHUNK_ELEMENTS.get(states_NH.device.type, 2**27) // FORMS // vocabulary)
    if len(states_NH) > 0:
        yield from zip(torch.split(states_NH, size), torch.split(theirs_NH, size), strict=True)


def _teacher_logits(states_NH: Tensor, distiller: Distiller) -> Tensor:
    with torch.no_grad():
        return project(distiller.policy, states_NH)


def _compare(student_NV: Tensor, teacher_NV: Tensor, distiller: Distiller) -> Tensor:
    """Models of one family fill their vocabularies up to different sizes; what one of them lacks is no token."""
    shared = min(student_NV.shape[1], teacher_NV.shape[1])
    logits = [logits_NV[:, :shared].to(student_NV.device) for logits_NV in (student_NV, teacher_NV)]
    wide = [values.to(torch.promote_types(values.dtype, torch.float32)) / distiller.temperature for values in logits]
    return divergence(*wide, of=distiller.comparison)
