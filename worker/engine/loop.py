"""The training loop: steps with evaluations before, during and after, stoppable between steps.

A resumed run is bit-identical: all randomness is a function of the seed and the step (`seeds.py`).
"""

import time
from dataclasses import dataclass, replace

import numpy as np

from backend.core.control import ControlSignal
from backend.core.settings.choices import Keep
from backend.core.settings.measuring import LEAST_TO_HALVE
from backend.core.statistics import SCORES, mean_interval
from worker.engine.evaluation.evaluate import compare, evaluate, question_means
from worker.engine.evaluation.keeping import Kept, better, early_end, halves, kept_sentence, selection_of
from worker.engine.experiment import Experiment, TrainContext, make_train_context
from worker.engine.faults import memory_errors_as_faults
from worker.engine.observer import Checkpoint, EvaluationReport, Observer, Phase, SharedObserver, StepReport
from worker.engine.rollouts.reward import VerifierFaults, check_fault_share
from worker.engine.settings import Settings
from worker.engine.step import take_step
from worker.engine.training import checkpoint
from worker.engine.training.budget import budget_message, is_used_up, step_usage
from worker.engine.training.checkpoint import Fingerprint, fingerprint, require_same_run
from worker.engine.training.watchdog import NoSignal, Watchdog
from worker.engine.types import Ending, QuestionScores, Selection


class Interrupted(Exception):  # noqa: N818 - a way for a run to end, not an error
    """The observer requested a pause or a cancellation."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


def run(experiment: Experiment, *, observer: Observer, resume: bytes | None) -> Ending:
    """Train the policy's live adapter, from the beginning or from a checkpoint's bytes.

    ValueError, before any computation, where the parts of the experiment do not match (`make_train_context`), or when
    the checkpoint belongs to another run (naming the setting).

    In a run of several processes each calls this with its equal experiment and takes its share of the work; only the
    leader's observer is used. A checkpoint does not depend on the number of processes.
    """
    settings = experiment.settings
    if settings.keep is Keep.BEST and len(experiment.held_out) < LEAST_TO_HALVE:
        raise ValueError(
            f"keep best halves the held-out questions, so it needs at least {LEAST_TO_HALVE}, got "
            f"{len(experiment.held_out)}"
        )
    observer = SharedObserver(observer, experiment.world)
    context = make_train_context(experiment, observer=observer)
    state = TrainState(
        context,
        Watchdog(settings, context.method),
        fingerprint(settings, tasks=experiment.tasks, held_out=experiment.held_out),
    )
    if resume is not None:
        state.resume(resume)
    else:
        _announce(context)
    del resume  # as large as the adapters and the optimizer moments together
    try:
        _train(state)
        return Ending.DONE
    except Interrupted as interruption:
        ending = interruption.ending
    except VerifierFaults as faults:
        observer.event(level="error", code="verifier_faults", message=str(faults))
        ending = Ending.VERIFIER_FAULTS
    except NoSignal as error:
        observer.event(level="error", code="no_signal", message=str(error))
        ending = Ending.NO_SIGNAL
    if state.saved != state.step:
        state.save()
    return ending


@dataclass(slots=True)
class TrainState:
    """Progress of a run."""

    context: TrainContext
    watchdog: Watchdog
    fingerprint: Fingerprint
    step: int = 0
    baseline: list[QuestionScores] | None = None
    """Held-out scores before the first step."""
    warm: list[QuestionScores] | None = None
    """Held-out scores after the warm start."""
    score: float | None = None
    """Held-out mean after the current step, where it was measured."""
    saved: int | None = None
    """Step of the newest checkpoint."""
    budget_used: float = 0.0
    """In units of the budget; 0 where there is none."""
    kept: Kept | None = None
    """The best step so far, where the best is kept and one was evaluated."""

    def resume(self, data: bytes) -> None:
        """Continue from a checkpoint's bytes. ValueError naming the difference where it belongs to another run."""
        loaded = checkpoint.unpack(data)
        require_same_run(loaded.run_state.fingerprint, self.fingerprint)
        checkpoint.restore(self.context.policy, self.context.optimizer, checkpoint=loaded)
        run_state = loaded.run_state
        self.step, self.baseline, self.warm = run_state.step, run_state.baseline, run_state.warm
        self.score, self.budget_used = run_state.score, run_state.used
        self.watchdog.load_state_dict(run_state.watched)
        self.context.history.load_state_dict(run_state.history)
        if run_state.kept is not None:
            self.kept = Kept(**run_state.kept, adapter=loaded.kept_adapter)
        self.saved = self.step

    def save(self) -> None:
        """Pass a checkpoint to the observer."""
        context, kept = self.context, self.kept
        if context.world.is_leader:
            run_state = checkpoint.RunState(
                step=self.step,
                baseline=self.baseline,
                warm=self.warm,
                score=self.score,
                used=self.budget_used,
                watched=self.watchdog.state_dict(),
                history=context.history.state_dict(),
                kept=kept.state_dict() if kept else None,
                fingerprint=self.fingerprint,
            )
            data = checkpoint.pack(
                context.policy, context.optimizer, run_state=run_state, kept_adapter=kept.adapter if kept else {}
            )
            context.observer.checkpoint(Checkpoint(self.step, data, self.score, kept.step if kept else None))
        self.saved = self.step

    def record_step(self, report: StepReport) -> None:
        """Advance by one step. Seconds are measured by the leader alone, so that all processes end at the same step."""
        settings, world = self.context.settings, self.context.world
        self.step, self.score = self.step + 1, None
        if settings.budget > 0:
            usage = step_usage(report.metrics, unit=settings.budget_unit, devices=world.size)
            self.budget_used += world.broadcast(usage)

    @property
    def is_finished(self) -> bool:
        """True when no step is left to take."""
        settings, context = self.context.settings, self.context
        used_up = is_used_up(self.budget_used, settings=settings)
        return self.step >= context.last_step or used_up or self.is_out_of_patience

    @property
    def is_out_of_patience(self) -> bool:
        """True after `patience` evaluations that were no better than the best before them."""
        patience = self.context.settings.patience
        return self.kept is not None and 0 < patience <= self.kept.waited

    @property
    def is_warm(self) -> bool:
        """True just after the warm start, where training goes on."""
        return self.step == self.context.warm_steps > 0 and not self.is_finished

    @property
    def due_evaluation(self) -> Phase | None:
        """The evaluation that is due after the current step, besides the first and the last; None if there is none."""
        if self.is_warm:
            return "warm"
        return "interim" if self.is_due(self.context.settings.eval_interval) else None

    def is_due(self, interval: int) -> bool:
        """Check whether an action with this interval is due; never at the start or the end of the run."""
        return interval > 0 and self.step > 0 and not self.is_finished and self.step % interval == 0


def _train(state: TrainState) -> None:
    """Train from the current state to the end. Interrupted, VerifierFaults or NoSignal on an early end."""
    context, settings, observer = state.context, state.context.settings, state.context.observer
    if state.step == 0 and state.baseline is None:
        baseline = _evaluate(state, phase="baseline")
        state.baseline = baseline.per_question if baseline else None
        state.save()
    elif state.score is None and _evaluate_between(state):  # stopped before or during this evaluation
        state.save()
    while not state.is_finished:
        _check_control(observer)
        report = take_step(context, state.step + 1)
        state.record_step(report)
        observer.step(report)
        if report.rollouts:  # imitation has no signal to watch
            state.watchdog.check(report, observer=observer)
        _evaluate_between(state)
        is_best = state.kept is not None and state.kept.step == state.step
        if state.is_warm or is_best or state.is_due(settings.checkpoint_interval):
            state.save()
    if state.kept is not None and state.is_out_of_patience:
        message = early_end(state.kept, step=state.step, last_step=context.last_step)
        observer.event(level="info", code="stopped_early", message=message)
    elif state.step < context.last_step:
        message = budget_message(settings, step=state.step, last_step=context.last_step)
        observer.event(level="info", code="budget_used_up", message=message)
    if settings.keep is Keep.LAST:
        _evaluate(state, phase="trained")
        state.save()
    else:
        _keep_best(state)


def _keep_best(state: TrainState) -> None:
    """Evaluate the last step, unless the run ended with an evaluation; report the best one and put it in the policy."""
    settings, observer = state.context.settings, state.context.observer
    if state.score is None:
        _evaluate(state, phase="interim")
    state.save()  # as the run would go on from here
    kept = state.kept
    if kept is None:
        return
    report = _evaluation_report(
        kept.questions,
        step=kept.step,
        phase="trained",
        baseline=state.baseline,
        warm=state.warm,
        settings=settings,
        selection=kept.selection,
        seconds=0.0,
    )
    assert report is not None  # only evaluations with scores are kept
    observer.evaluation(report)
    observer.event(level="info", code="kept", message=kept_sentence(kept, measured_on=report.n))
    kept.restore(state.context.policy)


def _announce(context: TrainContext) -> None:
    """Record how a new run pads, and what it imitates."""
    policy, observer = context.policy, context.observer
    if policy.tokenizer.pad_token_id is None:
        observer.event(
            level="info",
            code="no_pad_token",
            message=f"The tokenizer has no pad token. Its end-of-sequence token {policy.pad_id} is used for padding, "
            "which is masked.",
        )
    words = f"Warm start of {context.warm_steps:,} steps" if context.warm_start else "Imitation"
    shown = context.warm_start or context.imitated
    if shown is not None:
        observer.event(
            level="warn" if shown.left_out else "info",
            code="imitation",
            message=f"{words}. {shown.in_words(context.settings)}",
        )


def _check_control(observer: Observer) -> None:
    """Raise Interrupted when the observer requests a pause or a cancellation."""
    signal = observer.control_signal()
    if signal is not ControlSignal.RUN:
        raise Interrupted(Ending.PAUSED if signal is ControlSignal.PAUSE else Ending.CANCELLED)


def _evaluate_between(state: TrainState) -> bool:
    """Evaluate if it is due after the current step, and keep the scores. False if there are none."""
    phase = state.due_evaluation
    if phase is None:
        return False
    report = _evaluate(state, phase=phase)
    if phase == "warm" and report is not None:
        state.warm = report.per_question
    return report is not None


def _evaluate(state: TrainState, *, phase: Phase) -> EvaluationReport | None:
    """Evaluate and report. None without held-out questions, or when none got a score, which is also an event.

    Sets the score of the state, and where the best is kept, what that is.
    """
    context, state.score = state.context, None
    if not context.eval_prompts:
        return None
    settings, observer, start = context.settings, context.observer, time.perf_counter()
    with memory_errors_as_faults("evaluation"):
        evaluation = evaluate(context, context.eval_prompts, check_control=lambda: _check_control(observer))
    check_fault_share(evaluation.fault_share, first_fault=evaluation.first_fault, limit=settings.max_error_share)
    questions, selection = evaluation.questions, None
    if settings.keep is Keep.BEST:
        choosing, questions = halves(questions, seed=settings.seed)
        selection = selection_of(choosing)
    report = _evaluation_report(
        questions,
        step=state.step,
        phase=phase,
        baseline=state.baseline,
        warm=state.warm,
        settings=settings,
        selection=selection,
        seconds=time.perf_counter() - start,
    )
    if report is None:
        observer.event(level="warn", code="nothing_scored", message="None of the held-out completions got a score.")
        return None
    observer.evaluation(report)
    if settings.keep is Keep.LAST:
        state.score = report.mean
    elif selection is not None:
        state.score = selection["mean"]  # the other questions must not choose a checkpoint either
        state.kept = better(
            state.kept, step=state.step, selection=selection, questions=questions, policy=context.policy
        )
        if state.step <= context.warm_steps:  # patience is with the method
            state.kept = replace(state.kept, waited=0)
    return report


def _evaluation_report(
    questions: list[QuestionScores],
    *,
    step: int,
    phase: Phase,
    baseline: list[QuestionScores] | None,
    warm: list[QuestionScores] | None,
    settings: Settings,
    selection: Selection | None,
    seconds: float,
) -> EvaluationReport | None:
    means = question_means(questions)
    means = means[~np.isnan(means)]
    if len(means) == 0:
        return None
    score = mean_interval(means, within=SCORES)
    comparison = compare(baseline, questions, seed=settings.seed) if baseline else None
    return EvaluationReport(
        step=step,
        phase=phase,
        mean=score["mean"],
        low=score["low"],
        high=score["high"],
        n=len(means),
        k=settings.eval_samples,
        completions=sum(len(question["scores"]) for question in questions),
        unscored=sum(question["scores"].count(None) for question in questions),
        per_question=questions,
        p_value=comparison.p_value if comparison else None,
        difference=comparison.difference if comparison else None,
        since_warm_start=compare(warm, questions, seed=settings.seed) if warm else None,
        selection=selection,
        seconds=seconds,
    )
