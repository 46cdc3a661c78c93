"""Owns the run: one step after another, evaluated before and after, stoppable between steps, resumable to the bit.

`take_step` reads as RLSD.md section 1. Everything random is a function of the seed and the step (`seeds.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from worker.engine import checkpoint as checkpoints
from worker.engine.advantage import group_advantages
from worker.engine.credit import lambda_at
from worker.engine.evaluate import Evaluation, QuestionScores, compare, evaluate, interval, question_means
from worker.engine.methods import method_named
from worker.engine.metrics import StepFacts, rollout_reports, sampled_share, step_metrics
from worker.engine.policy import Policy
from worker.engine.prompts import Prompt, prepare
from worker.engine.report import EvaluationReport, Observer, StepReport, Stopwatch
from worker.engine.reward import score_completions
from worker.engine.rollout import sample_rollouts
from worker.engine.scoring import plan_for, teacher_prompts
from worker.engine.seeds import batch_indices, torch_generator
from worker.engine.teacher import teacher_logps, unhinted_logps
from worker.engine.types import Ending, Reward, Settings, Task, TeacherWeights, Wish
from worker.engine.update import make_optimizer, update_policy


class VerifierFaults(Exception):  # noqa: N818 - it is how a run ends, not an error of ours
    """Too many completions could not be scored."""


class Interrupted(Exception):  # noqa: N818 - it is how a run ends, not an error of ours
    """The observer wishes to stop."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What every step needs."""

    settings: Settings
    policy: Policy
    optimizer: torch.optim.AdamW
    prompts: Sequence[Prompt]
    questions: Sequence[Prompt]
    """Held out: never trained on."""
    reward: Reward
    observer: Observer


def take_step(learner: Learner, step: int) -> StepReport:
    """Step `step`, counted from 1. VerifierFaults, before anything is learnt, when the scores cannot be trusted."""
    settings, policy = learner.settings, learner.policy
    watch = Stopwatch(policy.device)
    lam = lambda_at(step, lam=settings.lam, decay_steps=settings.lambda_decay_steps)
    teacher_speaks = method_named(settings.method).needs_hint and lam > 0

    with watch.phase("rollout"):
        indices = batch_indices(step, seed=settings.seed, batch_size=settings.batch_size, num_rows=len(learner.prompts))
        rollouts = sample_rollouts(
            policy,
            [learner.prompts[index] for index in indices],
            num_generations=settings.num_generations,
            max_completion_tokens=settings.max_completion_tokens,
            temperature=settings.temperature,
            generator=torch_generator(settings.seed, step=step, purpose="rollout"),
        )
    with watch.phase("reward"):
        scored = score_completions(learner.reward, rollouts.completions)
        _trust(scored.fault_share, first_fault=scored.first_fault, settings=settings)
        advantages_B = group_advantages(scored.rewards_B, num_generations=settings.num_generations)

    live = advantages_B.nonzero().squeeze(1).tolist()  # an advantage of 0 has no gradient: neither pass is needed
    plan = plan_for(
        rollouts, sequences=live, with_teacher=teacher_speaks, micro_batch_tokens=settings.micro_batch_tokens
    )
    with watch.phase("teacher"):
        hinted_BT = None
        if teacher_speaks:
            weights = TeacherWeights(settings.teacher)
            hinted_BT = teacher_logps(policy, rollouts, plan=plan, weights=weights, temperature=settings.temperature)
    with watch.phase("update"):
        update = update_policy(
            policy,
            learner.optimizer,
            rollouts,
            advantages_B,
            hinted_BT,
            plan=plan,
            lam=lam,
            step=step,
            settings=settings,
        )
        if step % settings.teacher_sync_steps == 0:
            policy.sync_snapshot()

    with watch.phase("report"):
        generator = torch_generator(settings.seed, step=step, purpose="report")
        sampled = sampled_share(rollouts.num_sequences, share=settings.token_share, generator=generator)
        sampled_plan = plan_for(
            rollouts, sequences=sampled, with_teacher=False, micro_batch_tokens=settings.micro_batch_tokens
        )
        base_BT = unhinted_logps(
            policy, rollouts, plan=sampled_plan, weights=TeacherWeights.BASE, temperature=settings.temperature
        )
    facts = StepFacts(
        rollouts=rollouts,
        scored=scored,
        advantages_B=advantages_B,
        teacher_logps_BT=hinted_BT,
        update=update,
        lam=lam,
        learning_rate=settings.learning_rate,
        teacher_tokens=sum(
            len(batch.sequences) * (max(map(len, teacher_prompts(rollouts, batch))) + batch.num_completion_tokens)
            for batch in (plan if teacher_speaks else ())
        ),
        base_logps_BT=base_BT,
        watch=watch,
    )
    reports = rollout_reports(facts, policy=policy, with_tokens=sampled)
    return StepReport(step=step, metrics=step_metrics(facts), rollouts=reports)


def run(
    settings: Settings,
    *,
    policy: Policy,
    tasks: Sequence[Task],
    held_out: Sequence[Task],
    reward: Reward,
    observer: Observer,
    resume: bytes | None,
) -> Ending:
    """Train the policy's live adapter, from the beginning or from a checkpoint's bytes.

    Without held-out tasks nothing is evaluated. ValueError before anything is computed when the tasks and the settings
    do not fit: an unknown method, no tasks, a missing hint, a prompt too long; it names the row.
    """
    learner = _learner(settings, policy=policy, tasks=tasks, held_out=held_out, reward=reward, observer=observer)
    step, baseline, score, saved = 0, None, None, None  # baseline and score: of the start, and of this very step
    if resume is not None:
        step, baseline, score = checkpoints.go_on(policy, learner.optimizer, data=resume)
        saved = step
    del resume  # it is as large as the adapters and the optimizer's moments together

    def save() -> None:
        nonlocal saved
        data = checkpoints.pack(policy, learner.optimizer, step=step, baseline=baseline, score=score)
        observer.checkpoint(checkpoints.Checkpoint(step, data, score))
        saved = step

    def due(interval: int) -> bool:
        return interval > 0 and 0 < step < settings.max_steps and step % interval == 0

    try:
        if step == 0 and baseline is None:
            found = _evaluate(learner, step=0, phase="baseline", baseline=None)
            baseline, score = (found.per_question, found.mean) if found else (None, None)
            save()
        elif score is None and due(settings.eval_interval):  # the run was stopped before or during this evaluation
            score = _evaluated_mean(_evaluate(learner, step=step, phase="interim", baseline=baseline))
            if score is not None:
                save()
        while step < settings.max_steps:
            _heed(observer)
            report = take_step(learner, step + 1)
            step, score = step + 1, None
            observer.step(report)
            if due(settings.eval_interval):
                score = _evaluated_mean(_evaluate(learner, step=step, phase="interim", baseline=baseline))
            if due(settings.checkpoint_interval):
                save()
        score = _evaluated_mean(_evaluate(learner, step=step, phase="trained", baseline=baseline))
        save()
    except Interrupted as interruption:
        if saved != step:
            save()
        return interruption.ending
    except VerifierFaults as faults:
        observer.event(level="error", code="verifier_faults", message=str(faults))
        if saved != step:
            save()
        return Ending.VERIFIER_FAULTS
    return Ending.DONE


def _learner(
    settings: Settings,
    *,
    policy: Policy,
    tasks: Sequence[Task],
    held_out: Sequence[Task],
    reward: Reward,
    observer: Observer,
) -> Learner:
    if not tasks:
        raise ValueError("there are no tasks to train on")
    teacher_ever_speaks = method_named(settings.method).needs_hint and settings.lam > 0
    room = policy.max_positions - settings.max_completion_tokens
    limits = {"max_prompt_tokens": settings.max_prompt_tokens, "max_context_tokens": room}
    hint = settings.hint if teacher_ever_speaks else None
    return Learner(
        settings=settings,
        policy=policy,
        optimizer=make_optimizer(policy, settings=settings),
        prompts=prepare(tasks, tokenizer=policy.tokenizer, hint=hint, **limits),
        questions=prepare(held_out, tokenizer=policy.tokenizer, hint=None, **limits),
        reward=reward,
        observer=observer,
    )


def _heed(observer: Observer) -> None:
    """Interrupted when the observer wishes to stop."""
    wish = observer.wish()
    if wish is not Wish.CONTINUE:
        raise Interrupted(Ending.PAUSED if wish is Wish.PAUSE else Ending.CANCELLED)


def _trust(fault_share: float, *, first_fault: str, settings: Settings) -> None:
    """VerifierFaults when too large a share of completions could not be scored."""
    if fault_share > settings.max_error_share:
        raise VerifierFaults(
            f"{fault_share:.0%} of the completions could not be scored, more than max_error_share = "
            f"{settings.max_error_share:.0%}; the first: {first_fault}"
        )


def _evaluated_mean(report: EvaluationReport | None) -> float | None:
    return report.mean if report else None


def _evaluate(
    learner: Learner,
    *,
    step: int,
    phase: Literal["baseline", "interim", "trained"],
    baseline: list[QuestionScores] | None,
) -> EvaluationReport | None:
    """Evaluate and report. None where nothing is held out or no question got a score, which is an event of its own."""
    if not learner.questions:
        return None
    settings, observer = learner.settings, learner.observer
    found = evaluate(
        learner.policy,
        learner.questions,
        reward=learner.reward,
        settings=settings,
        heed=lambda: _heed(observer),
    )
    _trust(found.fault_share, first_fault=found.first_fault, settings=settings)
    report = _evaluation_report(found, step=step, phase=phase, baseline=baseline, settings=settings)
    if report is None:
        observer.event(level="warn", code="nothing_scored", message="no held-out completion got a score")
        return None
    observer.evaluation(report)
    return report


def _evaluation_report(
    found: Evaluation,
    *,
    step: int,
    phase: Literal["baseline", "interim", "trained"],
    baseline: list[QuestionScores] | None,
    settings: Settings,
) -> EvaluationReport | None:
    means = question_means(found.questions)
    means = means[~np.isnan(means)]
    if len(means) == 0:
        return None
    score = interval(means, seed=settings.seed, purpose="evaluation interval")
    comparison = compare(baseline, found.questions, seed=settings.seed) if baseline else None
    return EvaluationReport(
        step=step,
        phase=phase,
        mean=score["mean"],
        low=score["low"],
        high=score["high"],
        n=len(means),
        k=settings.eval_samples,
        per_question=found.questions,
        p_value=comparison.p_value if comparison else None,
        difference=comparison.difference if comparison else None,
    )
