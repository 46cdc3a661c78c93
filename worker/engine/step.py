"""Owns one step: sample, score, ask the teachers, give credit, move the adapter, report. Reads as RLSD.md section 1."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.credit import lambda_at
from worker.engine.distributed import ProcessGroup
from worker.engine.measure import Stopwatch
from worker.engine.methods.base import Method, TeacherKind
from worker.engine.model.policy import Policy
from worker.engine.observer import Observer, StepReport
from worker.engine.rollouts.collect import RolloutBatch, gather
from worker.engine.rollouts.logprobs import MicroBatch, micro_batch_inputs, plan_for, shares_contexts, tokens_run
from worker.engine.rollouts.prompts import Prompt
from worker.engine.rollouts.rollouts import Rollouts
from worker.engine.rollouts.sampler import Sampler
from worker.engine.seeds import torch_generator
from worker.engine.settings import Settings
from worker.engine.teacher.contexts import TeacherContextBuilder, TeacherContexts
from worker.engine.teacher.diagnostics import Diagnosis, diagnose, looked_at
from worker.engine.teacher.distillation import Distiller, comparison_of
from worker.engine.teacher.reasoning import reasoning_mask
from worker.engine.teacher.signals import Scorer, contexts_of, contrast_logps, teacher_logps, told
from worker.engine.training.metrics import StepFacts, rollout_reports, sampled_share, step_costs, step_metrics
from worker.engine.training.update import StepTensors, update_policy
from worker.engine.types import Divergence, Reward, TeacherWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainContext:
    """What every step needs."""

    settings: Settings
    method: Method
    policy: Policy
    teacher: Policy
    """Whose network the teacher is: the policy itself, or an external model."""
    optimizer: torch.optim.AdamW
    prompts: Sequence[Prompt]
    source: Sampler
    """What samples the completions."""
    questions: Sequence[Prompt]
    """Held out: never trained on."""
    briefer: TeacherContextBuilder | None
    """None where no teacher is ever asked."""
    reward: Reward
    observer: Observer
    world: ProcessGroup


def take_step(learner: TrainContext, step: int) -> StepReport:
    """Step `step`, counted from 1. VerifierFaults, before anything is learnt, when the scores cannot be trusted."""
    settings, policy, world = learner.settings, learner.policy, learner.world
    watch = Stopwatch(policy.device)
    lam = lambda_at(step, lam=settings.lam, decay_steps=settings.lambda_decay_steps)

    experience = gather(
        policy,
        learner.prompts,
        source=learner.source,
        reward=learner.reward,
        step=step,
        settings=settings,
        watch=watch,
        world=world,
    )
    rollouts = experience.rollouts

    with watch.phase("teacher"):
        briefing = None
        if learner.briefer is not None and learner.method.speaks_at(lam, alpha=settings.alpha):
            briefing = learner.briefer.brief(rollouts, experience.scored.rewards_B, step=step)
        live = live_sequences(learner.method, experience.advantages_B, briefing)
        mine = live[world.share(len(live))]
        plan = plan_for(
            rollouts,
            sequences=mine,
            readings=briefing.readings if briefing else (),
            micro_batch_tokens=settings.micro_batch_tokens,
            shared=shares_contexts(policy) and shares_contexts(learner.teacher),
        )
        signals = _signals(learner, experience, briefing, plan=plan)
        distiller = _distiller(learner, briefing)
    with watch.phase("update"):
        update = update_policy(
            policy,
            learner.optimizer,
            rollouts,
            signals,
            plan=plan,
            lam=lam,
            step=step,
            settings=settings,
            distiller=distiller,
            world=world,
        )
        update = world.whole(update, mine=mine, everyones=live)
        if step % settings.teacher_sync_steps == 0:
            policy.sync_snapshot()

    facts = StepFacts(
        experience=experience,
        method=learner.method,
        briefing=briefing,
        signals=signals,
        live=live,
        update=update,
        lam=lam,
        learning_rate=settings.learning_rate,
        teacher_tokens=int(world.total(_teacher_tokens(learner, rollouts, briefing, plan=plan))),
        success_above=settings.success_above,
        watch=watch,
    )
    return _report(learner, facts, step=step)


def live_sequences(method: Method, advantages_B: Tensor, briefing: TeacherContexts | None) -> list[int]:
    """Sequences that have any signal: the others need neither a teacher nor a backward pass."""
    rewarded_B = advantages_B != 0
    if briefing is None or not method.distils:
        live_B = rewarded_B
    else:
        live_B = (rewarded_B | briefing.teacher_mask_B) if method.rewarded else briefing.teacher_mask_B
    return live_B.nonzero().squeeze(1).tolist()


def _signals(
    learner: TrainContext, experience: RolloutBatch, briefing: TeacherContexts | None, *, plan: Sequence[MicroBatch]
) -> StepTensors:
    """Ask the teachers."""
    settings, rollouts = learner.settings, experience.rollouts
    mask_BT, device = rollouts.mask_BT, learner.policy.device
    teacher_BT, contrast_BT = None, None
    teacher_mask_B, teacher_mask_BT = torch.zeros(rollouts.num_sequences, dtype=torch.bool), torch.ones_like(mask_BT)
    if briefing is not None:
        teacher_mask_B = briefing.teacher_mask_B
        scorer = Scorer(
            learner.teacher,
            [told(batch, briefing.teacher_B) for batch in plan],
            _teacher_weights(learner),
            settings.temperature,
        )
        if settings.divergence == Divergence.SAMPLED:
            teacher_BT = teacher_logps(scorer, rollouts, briefing.teacher_B).to(device)
        else:  # a distiller will read, micro-batch by micro-batch
            teacher_BT = torch.full(mask_BT.shape, torch.nan, device=device)
        if briefing.contrasts_KB:
            contrast_BT = contrast_logps(scorer, rollouts, briefing).to(device)
        if settings.reasoning_only:
            decoder = learner.policy.tokenizer
            teacher_mask_BT = reasoning_mask(
                rollouts.completion_ids_BT, mask_BT, decoder=decoder, end=settings.reasoning_end
            )
    return StepTensors(
        advantages_B=experience.advantages_B.to(device),
        teacher_logps_BT=teacher_BT,
        contrast_logps_BT=contrast_BT,
        teacher_mask_B=teacher_mask_B.to(device),
        teacher_mask_BT=teacher_mask_BT,
    )


def _distiller(learner: TrainContext, briefing: TeacherContexts | None) -> Distiller | None:
    """The teacher of a run that learns from whole distributions."""
    settings = learner.settings
    if briefing is None or settings.divergence == Divergence.SAMPLED:
        return None
    return Distiller(
        policy=learner.teacher,
        weights=_teacher_weights(learner),
        reading=briefing.teacher_B,
        temperature=settings.temperature,
        comparison=comparison_of(settings),
    )


def _report(learner: TrainContext, facts: StepFacts, *, step: int) -> StepReport:
    """What is told of a step: its numbers, those that only diagnostics need, and the tokens of some rollouts."""
    settings, num_sequences = learner.settings, facts.rollouts.num_sequences
    with facts.watch.phase("report"):
        kept = sampled_share(
            num_sequences,
            share=settings.token_share,
            least=int(settings.token_share > 0),
            generator=torch_generator(settings.seed, step=step, purpose="report"),
        )
        diagnosis = None
        if settings.diagnostic_interval > 0 and (step - 1) % settings.diagnostic_interval == 0:
            diagnosis = _diagnosis(learner, facts, step=step)
        metrics = step_metrics(facts, diagnosis=diagnosis)
        reports = rollout_reports(facts, policy=learner.policy, with_tokens=kept)
    return StepReport(step=step, metrics=metrics | step_costs(facts), rollouts=reports)


def _diagnosis(learner: TrainContext, facts: StepFacts, *, step: int) -> Diagnosis:
    """Each process looks at its share of some sequences; all get the whole. A silent teacher needs no control."""
    settings, rollouts, world = learner.settings, facts.rollouts, learner.world
    control = None
    if learner.briefer is not None and learner.method.speaks_at(facts.lam, alpha=settings.alpha):
        control = learner.briefer.control(rollouts, facts.experience.scored.rewards_B, step=step)
    chosen = looked_at(rollouts, generator=torch_generator(settings.seed, step=step, purpose="diagnosis"))
    mine = chosen[world.share(len(chosen))]
    found = diagnose(learner.policy, rollouts, control=control, sequences=mine, settings=settings)
    return world.whole(found, mine=mine, everyones=chosen)


def _teacher_weights(learner: TrainContext) -> TeacherWeights:
    """An external teacher has no adapters to choose from."""
    external = learner.method.teacher is TeacherKind.EXTERNAL
    return TeacherWeights.LIVE if external else TeacherWeights(learner.settings.teacher)


def _teacher_tokens(
    learner: TrainContext, rollouts: Rollouts, briefing: TeacherContexts | None, *, plan: Sequence[MicroBatch]
) -> int:
    """Tokens that go through the teachers' network, padding included."""
    return sum(
        tokens_run(learner.teacher, contexts_of(reading, batch), micro_batch_inputs(rollouts, batch)[1])
        for reading in (briefing.readings if briefing else ())
        for batch in (told(batch, reading) for batch in plan)
        if len(batch.sequences)
    )
