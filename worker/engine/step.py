"""One training step: sample, score, run the teacher, assign credit, update the adapter, report; or imitate.

Implements docs/rlsd.md sections 1 and 7.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from backend.core.methods import Method, TeacherKind
from backend.core.settings.choices import Divergence, TeacherWeights
from worker.engine.credit import lambda_at
from worker.engine.distributed import ProcessGroup
from worker.engine.experiment import TrainContext
from worker.engine.imitation import take_imitation_step, take_warm_step
from worker.engine.measure import Stopwatch
from worker.engine.methods.advantages import failing_sequences, group_baselines
from worker.engine.methods.base import Options
from worker.engine.methods.good_prefix import mean_values
from worker.engine.observer import StepReport
from worker.engine.rollouts.collect import RolloutBatch, collect_rollouts, trained_batch
from worker.engine.rollouts.logprobs import (
    MicroBatch,
    micro_batch_inputs,
    plan_rollout_batches,
    shares_contexts,
    tokens_run,
)
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.seeds import torch_generator
from worker.engine.teacher.contexts import TeacherContexts
from worker.engine.teacher.diagnostics import Diagnosis, diagnose, diagnosed_sequences
from worker.engine.teacher.distillation import Distiller, divergence_options
from worker.engine.teacher.divergence import DivergenceOptions
from worker.engine.teacher.reasoning import reasoning_mask
from worker.engine.teacher.signals import Scorer, batch_contexts, contrast_logps, keep_with_context, teacher_logps
from worker.engine.training.metrics import StepFacts, rollout_reports, sampled_share, step_costs, step_metrics
from worker.engine.training.schedule import learning_rate_at
from worker.engine.training.update import StepTensors, TrainBatch, credit_options, update_policy

SCALE_QUANTILE = 0.75
LEAST_SCALE = 1e-4
"""Of the divergences that weight tokens: arXiv 2606.18810."""


def take_step(context: TrainContext, step: int) -> StepReport:
    """Take step `step` (from 1) of a run: one of the warm start, or of the method, which counts its own from 1.

    VerifierFaults, before the update, when too many completions could not be scored.
    """
    number = step - context.warm_steps
    if context.warm_start is not None and number <= 0:
        return take_warm_step(context, context.warm_start, step=step)
    if context.imitated is not None:
        rate = learning_rate_at(number, settings=context.settings)
        return take_imitation_step(context, context.imitated, step=step, number=number, learning_rate=rate)
    return replace(_take_method_step(context, number), step=step, warm_steps=context.warm_steps)


def _take_method_step(context: TrainContext, step: int) -> StepReport:
    """Take step `step` (from 1) of a method that learns from completions."""
    settings, policy, world = context.settings, context.policy, context.world
    watch = Stopwatch(policy.device)
    lam = lambda_at(step, lam=settings.lam, decay_steps=settings.lambda_decay_steps)

    asked = collect_rollouts(
        context,
        context.prompts,
        practice_prompts=context.practice_prompts,
        step=step,
        history=context.history,
        watch=watch,
    )
    rollout_batch = trained_batch(asked, context=context)
    rollouts = rollout_batch.rollouts

    with watch.phase("teacher"):
        teacher_contexts = None
        if context.context_builder is not None and context.method.needs_teacher(lam, alpha=settings.alpha):
            teacher_contexts = context.context_builder.build(rollouts, rollout_batch.scored.rewards_B, step=step)
        failing_B = failing_sequences(
            rollout_batch.scored.rewards_B,
            num_generations=rollouts.num_generations,
            success_above=settings.success_above,
        )
        in_loss_B = rollouts.in_loss_B(mask_truncated=settings.mask_truncated)
        practised_B = rollouts.practised_B
        signal = live_sequences(
            context.method, rollout_batch.advantages_B, teacher_contexts, failing_B=failing_B, practised_B=practised_B
        )
        if settings.kl_beta > 0:  # all sequences but those of practised groups without signal, which are dropped
            signal = sorted({*signal, *(~practised_B).nonzero().squeeze(1).tolist()})
        live = [b for b in signal if in_loss_B[b]]
        own = live[world.share(len(live))]
        plan = plan_rollout_batches(
            rollouts,
            sequences=own,
            teacher_contexts=teacher_contexts.all_contexts if teacher_contexts else (),
            micro_batch_tokens=settings.micro_batch_tokens,
            shared=shares_contexts(policy) and shares_contexts(context.teacher),
        )
        step_tensors = _step_tensors(context, rollout_batch, teacher_contexts, plan=plan)
        if context.method.values_tokens:
            options = credit_options(settings, lam=lam)
            step_tensors = _with_baselines(step_tensors, rollouts, own=own, live=live, options=options, world=world)
        distiller = _distiller(context, teacher_contexts)
        if context.method.weighs_by_divergence and teacher_contexts is not None:
            step_tensors = _with_divergences(context, step_tensors, rollouts, teacher_contexts, plan=plan)
            step_tensors = _with_scale(step_tensors, own=own, live=live, world=world)
    with watch.phase("update"):
        batch = TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=lam, distiller=distiller)
        update = update_policy(
            policy,
            context.optimizer,
            batch,
            step=step,
            steps_before=context.warm_steps,
            settings=settings,
            world=world,
        )
        update = world.combine(update, own=own, all_rows=live)
        if step % settings.teacher_sync_steps == 0:
            policy.sync_snapshot()

    facts = StepFacts(
        asked=asked,
        rollout_batch=rollout_batch,
        method=context.method,
        teacher_contexts=teacher_contexts,
        step_tensors=step_tensors,
        live=live,
        update=update,
        lam=lam,
        learning_rate=learning_rate_at(step, settings=settings),
        teacher_tokens=int(world.total(_teacher_tokens(context, rollouts, teacher_contexts, plan=plan))),
        success_above=settings.success_above,
        watch=watch,
    )
    return _report(context, facts, step=step)


def live_sequences(
    method: Method,
    advantages_B: Tensor,
    teacher_contexts: TeacherContexts | None,
    *,
    failing_B: Tensor,
    practised_B: Tensor,
) -> list[int]:
    """Return the sequences with a training signal; the others need neither a teacher nor a backward pass.

    `failing_B` is True for scored sequences of groups with a wrong completion. Where `practised_B` is True the signal
    is the advantage alone.
    """
    rewarded_B = advantages_B != 0
    live_B = rewarded_B
    if teacher_contexts is not None and method.values_tokens:
        live_B = (live_B | teacher_contexts.teacher_mask_B) & failing_B
    if teacher_contexts is not None and method.distils:
        taught_B = teacher_contexts.teacher_mask_B
        live_B = (live_B | taught_B) if method.rewarded else taught_B
    live_B = torch.where(practised_B, rewarded_B, live_B)
    return live_B.nonzero().squeeze(1).tolist()


def _step_tensors(
    context: TrainContext,
    rollout_batch: RolloutBatch,
    teacher_contexts: TeacherContexts | None,
    *,
    plan: Sequence[MicroBatch],
) -> StepTensors:
    """Run the teacher passes; collect the step's advantages, teacher log-probabilities and masks."""
    settings, rollouts = context.settings, rollout_batch.rollouts
    mask_BT, device = rollouts.mask_BT, context.policy.device
    teacher_BT, contrast_BT = None, None
    teacher_mask_B, teacher_mask_BT = torch.zeros(rollouts.num_sequences, dtype=torch.bool), torch.ones_like(mask_BT)
    if teacher_contexts is not None:
        teacher_mask_B = teacher_contexts.teacher_mask_B
        scorer = Scorer(
            context.teacher,
            [keep_with_context(batch, teacher_contexts.teacher_B) for batch in plan],
            _teacher_weights(context),
            settings.temperature,
        )
        if settings.divergence == Divergence.SAMPLED and not context.method.weighs_by_divergence:
            teacher_BT = teacher_logps(scorer, rollouts, teacher_contexts.teacher_B).to(device)
        else:  # filled in with the divergences, one micro-batch at a time
            teacher_BT = torch.full(mask_BT.shape, torch.nan, device=device)
        if teacher_contexts.contrasts_KB:
            contrast_BT = contrast_logps(scorer, rollouts, teacher_contexts).to(device)
        if settings.reasoning_only:
            # The end may be a special token, also where the verifier sees none.
            decoder = replace(context.policy, skip_special_tokens=False).decoder
            teacher_mask_BT = reasoning_mask(
                rollouts.completion_ids_BT, mask_BT, decode=decoder.text, end=settings.reasoning_end
            )
    return StepTensors(
        advantages_B=rollout_batch.advantages_B.to(device),
        teacher_logps_BT=teacher_BT,
        contrast_logps_BT=contrast_BT,
        teacher_mask_B=teacher_mask_B.to(device),
        teacher_mask_BT=teacher_mask_BT,
        rewards_B=rollout_batch.scored.rewards_B.to(device),
        baselines_B=None,
        divergences_BT=None,
        divergence_scale=None,
        practised_B=rollouts.practised_B.to(device),
    )


def _with_baselines(
    step_tensors: StepTensors,
    rollouts: Rollouts,
    *,
    own: Sequence[int],
    live: Sequence[int],
    options: Options,
    world: ProcessGroup,
) -> StepTensors:
    """Add the groups' baselines, from the sampler's log-probabilities: before the update, so no pass is added."""
    rewards_B = step_tensors.rewards_B
    rows, span = torch.tensor(own, dtype=torch.long, device=rewards_B.device), slice(None)
    sampled_BT = rollouts.sampling_logps_BT[rows]
    inputs = step_tensors.credit_inputs(sampled_BT, rollouts.mask_BT[rows], rows=rows, span=span)
    values_B = (rewards_B > options.success_above).to(rewards_B.dtype)  # those of skipped sequences
    values_B[rows] = mean_values(inputs, options).to(rewards_B.dtype)
    values_B = world.combine_rows(values_B, own=own, all_rows=live)
    baselines_B = group_baselines(values_B, rewards_B=rewards_B, num_generations=rollouts.num_generations)
    return replace(step_tensors, baselines_B=baselines_B)


def _with_divergences(
    context: TrainContext,
    step_tensors: StepTensors,
    rollouts: Rollouts,
    teacher_contexts: TeacherContexts,
    *,
    plan: Sequence[MicroBatch],
) -> StepTensors:
    """Measure the teacher's divergences in a pass of its own, which also gives its log-probabilities."""
    forward = DivergenceOptions(kind=Divergence.FORWARD_KL, beta=0.0, top_k=0, clip=0.0)
    distiller = _make_distiller(context, teacher_contexts, options=forward)
    dtype = torch.promote_types(context.policy.model.dtype, torch.float32)
    divergences_BT = torch.zeros_like(rollouts.sampling_logps_BT, dtype=dtype)
    teacher_BT = torch.full_like(divergences_BT, torch.nan)
    for batch in plan:
        rows, span = batch.sequences.to(divergences_BT.device), slice(0, batch.num_completion_tokens)
        measured = distiller.measure(context.policy, rollouts, batch)
        if measured is not None:
            teacher_BT[rows, span], divergences_BT[rows, span] = (part_bT.to(teacher_BT) for part_bT in measured)
    return replace(step_tensors, teacher_logps_BT=teacher_BT, divergences_BT=divergences_BT)


def _with_scale(
    step_tensors: StepTensors, *, own: Sequence[int], live: Sequence[int], world: ProcessGroup
) -> StepTensors:
    """Add the divergence at which a weight is one half: the 75th percentile over the tokens with a teacher."""
    assert step_tensors.divergences_BT is not None
    divergences_BT = world.combine_rows(step_tensors.divergences_BT, own=own, all_rows=live)
    measured_N = divergences_BT[divergences_BT > 0]
    scale = float(np.quantile(measured_N.double().cpu().numpy(), SCALE_QUANTILE)) if len(measured_N) else 0.0
    return replace(step_tensors, divergences_BT=divergences_BT, divergence_scale=max(scale, LEAST_SCALE))


def _distiller(context: TrainContext, teacher_contexts: TeacherContexts | None) -> Distiller | None:
    """Return the distiller of a run that compares whole distributions, else None."""
    settings = context.settings
    if teacher_contexts is None or settings.divergence == Divergence.SAMPLED:
        return None
    return _make_distiller(context, teacher_contexts, options=divergence_options(settings))


def _make_distiller(
    context: TrainContext, teacher_contexts: TeacherContexts, *, options: DivergenceOptions
) -> Distiller:
    return Distiller(
        policy=context.teacher,
        weights=_teacher_weights(context),
        contexts=teacher_contexts.teacher_B,
        temperature=context.settings.temperature,
        options=options,
    )


def _report(context: TrainContext, facts: StepFacts, *, step: int) -> StepReport:
    """Build the step's report: metrics, diagnostics when due, and the tokens of some rollouts."""
    settings, num_sequences = context.settings, facts.num_reported
    with facts.watch.phase("report"):
        with_tokens = sampled_share(
            num_sequences,
            share=settings.token_share,
            least=int(settings.token_share > 0),
            generator=torch_generator(settings.seed, step=step, purpose="report"),
        )
        diagnosis = None
        if settings.diagnostic_interval > 0 and (step - 1) % settings.diagnostic_interval == 0:
            diagnosis = _diagnosis(context, facts, step=step)
        metrics = step_metrics(facts, diagnosis=diagnosis)
        reports = rollout_reports(facts, policy=context.policy, with_tokens=with_tokens)
    return StepReport(step=step, metrics=metrics | step_costs(facts), rollouts=reports)


def _diagnosis(context: TrainContext, facts: StepFacts, *, step: int) -> Diagnosis:
    """Run the diagnostic passes over some sequences without a hint, shared out among the processes and combined.

    Without a teacher at this step there are no control contexts.
    """
    settings, rollouts, world = context.settings, facts.asked.rollouts, context.world
    control = None
    if context.context_builder is not None and context.method.needs_teacher(facts.lam, alpha=settings.alpha):
        control = context.context_builder.control(rollouts, facts.asked.scored.rewards_B, step=step)
    chosen = diagnosed_sequences(rollouts, generator=torch_generator(settings.seed, step=step, purpose="diagnosis"))
    own = chosen[world.share(len(chosen))]
    diagnosis = diagnose(context.policy, rollouts, control=control, sequences=own, settings=settings)
    return world.combine(diagnosis, own=own, all_rows=chosen)


def _teacher_weights(context: TrainContext) -> TeacherWeights:
    """Return the teacher's weights; an external teacher has no adapters, so LIVE stands for its own."""
    external = context.method.teacher is TeacherKind.EXTERNAL
    return TeacherWeights.LIVE if external else context.settings.teacher


def _teacher_tokens(
    context: TrainContext, rollouts: Rollouts, teacher_contexts: TeacherContexts | None, *, plan: Sequence[MicroBatch]
) -> int:
    """Count the tokens of the teacher passes, padding included."""
    return sum(
        tokens_run(context.teacher, batch_contexts(contexts, batch), micro_batch_inputs(rollouts, batch)[1])
        for contexts in (teacher_contexts.all_contexts if teacher_contexts else ())
        for batch in (keep_with_context(batch, contexts) for batch in plan)
        if len(batch.sequences)
    )
