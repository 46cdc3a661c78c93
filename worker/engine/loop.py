"""Owns the run: one step after another, evaluated before and after, stoppable between steps, resumable to the bit.

Everything random is a function of the seed and the step (`seeds.py`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from worker.engine.distributed import ProcessGroup
from worker.engine.evaluation.evaluate import Evaluation, compare, evaluate, question_means
from worker.engine.evaluation.statistics import SCORES, interval
from worker.engine.faults import memory_named
from worker.engine.methods import method_named
from worker.engine.methods.base import TeacherKind
from worker.engine.model.policy import Policy
from worker.engine.observer import Checkpoint, EvaluationReport, Observer, SharedObserver, StepReport
from worker.engine.rollouts.prompts import LengthLimits, PromptBuilder
from worker.engine.rollouts.reward import VerifierFaults, trust
from worker.engine.rollouts.sampling import make_generator
from worker.engine.settings import Settings
from worker.engine.step import TrainContext, take_step
from worker.engine.teacher.contexts import make_briefer
from worker.engine.teacher.distillation import refuse_trained_head
from worker.engine.training import checkpoint
from worker.engine.training.budget import in_words, is_used_up, used_by
from worker.engine.training.checkpoint import Fingerprint, fingerprint, require_same_run
from worker.engine.training.update import make_optimizer
from worker.engine.training.watchdog import NoSignal, Watchdog
from worker.engine.types import ControlSignal, Divergence, Ending, QuestionScores, Reward, Task


class Interrupted(Exception):  # noqa: N818 - it is how a run ends, not an error of ours
    """The observer wishes to stop."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


def run(
    settings: Settings,
    *,
    policy: Policy,
    tasks: Sequence[Task],
    held_out: Sequence[Task],
    reward: Reward,
    observer: Observer,
    resume: bytes | None,
    teacher: Policy | None = None,
    world: ProcessGroup = ProcessGroup.alone(),
) -> Ending:
    """Train the policy's live adapter, from the beginning or from a checkpoint's bytes.

    Without held-out tasks nothing is evaluated. `teacher` is the other model of a method that has one
    (`load_external_teacher`). ValueError before anything is computed when the tasks and the settings do not fit: an
    unknown method, no tasks, a missing hint, a prompt too long; it names the row. So too when the checkpoint is another
    run's: it names the setting.

    Where several processes are one run, each calls this with the same arguments and takes its share of the work; the
    leader's observer is heard and spoken to. A checkpoint does not depend on how many there were.
    """
    observer = SharedObserver(observer, world)
    learner = make_learner(
        settings,
        policy=policy,
        teacher=teacher,
        tasks=tasks,
        held_out=held_out,
        reward=reward,
        observer=observer,
        world=world,
    )
    course = TrainState(
        learner, Watchdog(settings, learner.method), fingerprint(settings, tasks=tasks, held_out=held_out)
    )
    if resume is not None:
        course.go_on(resume)
    elif policy.tokenizer.pad_token_id is None:
        observer.event(
            level="info",
            code="no_pad_token",
            message=f"The tokenizer has no pad token, so the end of sequence {policy.pad_id} pads; padding is masked.",
        )
    del resume  # it is as large as the adapters and the optimizer's moments together
    try:
        _train(course)
        return Ending.DONE
    except Interrupted as interruption:
        ending = interruption.ending
    except VerifierFaults as faults:
        observer.event(level="error", code="verifier_faults", message=str(faults))
        ending = Ending.VERIFIER_FAULTS
    except NoSignal as silence:
        observer.event(level="error", code="no_signal", message=str(silence))
        ending = Ending.NO_SIGNAL
    if course.saved != course.step:
        course.save()
    return ending


@dataclass(slots=True)
class TrainState:
    """How far a run has come, and how much of it is saved."""

    learner: TrainContext
    vigil: Watchdog
    fingerprint: Fingerprint
    step: int = 0
    baseline: list[QuestionScores] | None = None
    """The held-out scores before the first step."""
    score: float | None = None
    """The held-out mean after this very step, where it was measured."""
    saved: int | None = None
    """The step of the newest checkpoint."""
    used: float = 0.0
    """Of the budget; 0 where there is none."""

    def go_on(self, data: bytes) -> None:
        """Continue from a checkpoint's bytes. ValueError, naming what differs, where it is another run's."""
        found = checkpoint.unpack(data)
        require_same_run(found.standing.fingerprint, self.fingerprint)
        checkpoint.restore(self.learner.policy, self.learner.optimizer, checkpoint=found)
        standing = found.standing
        self.step, self.baseline = standing.step, standing.baseline
        self.score, self.used = standing.score, standing.used
        self.vigil.recall(standing.watched)
        self.saved = self.step

    def save(self) -> None:
        """Hand the observer a checkpoint."""
        learner = self.learner
        if learner.world.leads:
            standing = checkpoint.RunState(
                step=self.step,
                baseline=self.baseline,
                score=self.score,
                used=self.used,
                watched=self.vigil.kept(),
                fingerprint=self.fingerprint,
            )
            data = checkpoint.pack(learner.policy, learner.optimizer, standing=standing)
            learner.observer.checkpoint(Checkpoint(self.step, data, self.score))
        self.saved = self.step

    def take(self, report: StepReport) -> None:
        """A step was taken. Of the time it took the leader's clock counts, so that all end at the same step."""
        settings, world = self.learner.settings, self.learner.world
        self.step, self.score = self.step + 1, None
        if settings.budget > 0:
            mine = used_by(report.metrics, unit=settings.budget_unit, devices=world.size)
            self.used += world.as_leader(mine)

    @property
    def ended(self) -> bool:
        """Whether no step is left to take."""
        settings = self.learner.settings
        return self.step >= settings.max_steps or is_used_up(self.used, settings=settings)

    def due(self, interval: int) -> bool:
        """Whether what happens at this interval happens now; never at the start or the end of the run."""
        return interval > 0 and self.step > 0 and not self.ended and self.step % interval == 0


def _train(course: TrainState) -> None:
    """From where the course stands to its end. Interrupted, VerifierFaults or NoSignal where that comes early."""
    learner, settings, observer = course.learner, course.learner.settings, course.learner.observer
    if course.step == 0 and course.baseline is None:
        found = _evaluate(course, phase="baseline")
        course.baseline, course.score = (found.per_question, found.mean) if found else (None, None)
        course.save()
    elif course.score is None and course.due(settings.eval_interval):  # stopped before or during this evaluation
        course.score = _evaluated_mean(_evaluate(course, phase="interim"))
        if course.score is not None:
            course.save()
    while not course.ended:
        _heed(observer)
        report = take_step(learner, course.step + 1)
        course.take(report)
        observer.step(report)
        course.vigil.look(report, observer=observer)
        if course.due(settings.eval_interval):
            course.score = _evaluated_mean(_evaluate(course, phase="interim"))
        if course.due(settings.checkpoint_interval):
            course.save()
    if course.step < settings.max_steps:
        observer.event(level="info", code="budget_used_up", message=in_words(settings, step=course.step))
    course.score = _evaluated_mean(_evaluate(course, phase="trained"))
    course.save()


def make_learner(
    settings: Settings,
    *,
    policy: Policy,
    teacher: Policy | None,
    tasks: Sequence[Task],
    held_out: Sequence[Task],
    reward: Reward,
    observer: Observer,
    world: ProcessGroup,
) -> TrainContext:
    """What every step needs. ValueError, as `run`, where tasks and settings do not fit."""
    if not tasks:
        raise ValueError("there are no tasks to train on")
    if settings.batch_size % world.size:
        raise ValueError(
            f"batch_size {settings.batch_size} cannot be shared out evenly among devices {world.size}: make it a "
            f"multiple of {world.size}"
        )
    method = method_named(settings.method)
    if settings.divergence != Divergence.SAMPLED and not method.distils:
        raise ValueError(f"divergence {settings.divergence} needs a method that distils, got {method.name}")
    if settings.divergence != Divergence.SAMPLED:
        refuse_trained_head(policy)
    if (method.teacher is TeacherKind.EXTERNAL) != (teacher is not None):
        raise ValueError(f"the method {method.name} {'has no' if teacher else 'needs a'} teacher of another model")
    teacher = teacher or policy
    max_positions = min(policy.max_positions, teacher.max_positions)
    reader = PromptBuilder(policy.tokenizer, LengthLimits.of(settings, max_positions=max_positions), policy.vision)
    briefer = None
    if method.speaks_at(settings.lam, alpha=settings.alpha):
        briefer = make_briefer(tasks, reader=reader, method=method, settings=settings)
    return TrainContext(
        settings=settings,
        method=method,
        policy=policy,
        teacher=teacher,
        optimizer=make_optimizer(policy, settings=settings),
        prompts=[reader.prompt(task) for task in tasks],
        source=make_generator(policy, settings=settings),
        questions=[reader.prompt(task) for task in held_out],
        briefer=briefer,
        reward=reward,
        observer=observer,
        world=world,
    )


def _heed(observer: Observer) -> None:
    """Interrupted when the observer wishes to stop."""
    wish = observer.wish()
    if wish is not ControlSignal.CONTINUE:
        raise Interrupted(Ending.PAUSED if wish is ControlSignal.PAUSE else Ending.CANCELLED)


def _evaluated_mean(report: EvaluationReport | None) -> float | None:
    return report.mean if report else None


def _evaluate(course: TrainState, *, phase: Literal["baseline", "interim", "trained"]) -> EvaluationReport | None:
    """Evaluate and report. None where nothing is held out or no question got a score, which is an event of its own."""
    learner = course.learner
    if not learner.questions:
        return None
    settings, observer, begun = learner.settings, learner.observer, time.perf_counter()
    with memory_named("evaluation"):
        found = evaluate(
            learner.policy,
            learner.questions,
            source=learner.source,
            reward=learner.reward,
            settings=settings,
            heed=lambda: _heed(observer),
            world=learner.world,
        )
    trust(found.fault_share, first_fault=found.first_fault, limit=settings.max_error_share)
    report = _evaluation_report(
        found,
        step=course.step,
        phase=phase,
        baseline=course.baseline,
        settings=settings,
        seconds=time.perf_counter() - begun,
    )
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
    seconds: float,
) -> EvaluationReport | None:
    means = question_means(found.questions)
    means = means[~np.isnan(means)]
    if len(means) == 0:
        return None
    score = interval(means, within=SCORES)
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
        seconds=seconds,
    )
