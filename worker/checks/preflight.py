"""The pre-flight's report and the preview of teacher prompts, from a file, a model, a verifier and settings.

Shared by the `sample` queue, jobs before their first step, and `rlsd preflight`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from backend.base_models import base_models
from backend.checks import Progress
from backend.core.checks import CheckKind
from backend.core.hints import Hint
from backend.core.methods import method_named
from backend.core.settings.spec import RlsdSettings
from backend.core.verdict import verdict
from backend.datasets.rows.rows import load_rows
from backend.db.base import Json
from backend.db.engine import transaction
from backend.errors import AppError
from backend.jobs.components import component_weights
from backend.jobs.imitation import imitates
from backend.jobs.notices import Notice, prompt_notices
from backend.jobs.resolve import X_RLSD
from backend.verifiers.specs import Spec, parse_spec
from worker.checks.before_training import CheckStep
from worker.checks.remedies import Situation, as_changes_of_a_job, with_remedies
from worker.engine.experiment import Experiment
from worker.engine.preflight.instructions import compare_instructions
from worker.engine.preflight.preview import preview
from worker.engine.preflight.probe import UNBOUNDED, chosen_tasks, probe
from worker.engine.preflight.report import build_report
from worker.engine.preflight.trial_steps import run_trial_steps
from worker.engine.preflight.warm_up import warmed_up
from worker.engine.rollouts.prompts import LengthLimits, PromptBuilder
from worker.engine.types import Task
from worker.faults import classify
from worker.sandbox.pool import Sandbox
from worker.training.prepare import (
    PreparedJob,
    engine_settings,
    load,
    load_model_assets,
    load_teacher,
    sandboxed_reward,
    tasks_of,
    use_threads,
)


def preflight_report(experiment: Experiment, *, job: PreparedJob, progress: Progress) -> Json:
    """Run the pre-flight on the policy to be trained, without trial steps, which would change its weights."""
    rows, samples = job.spec.preflight_rows, job.spec.preflight_samples
    with warmed_up(experiment, progress=progress) as warm_steps:
        found = probe(experiment, rows=rows, samples=samples, progress=progress)
    findings, figures = build_report(
        found,
        settings=experiment.settings,
        samples=samples,
        tasks=len(experiment.tasks),
        trial_steps=None,
        warm_steps=warm_steps,
    )
    cured = [as_changes_of_a_job(each) for each in with_remedies(findings, Situation(job, figures, base_models()))]
    return verdict(cured, good=findings[0].message, details=figures)


def preflight_step(experiment: Experiment, *, job: PreparedJob, progress: Progress) -> CheckStep:
    """Build the pre-flight check of a job, on the policy to be trained. Only the leader reports progress."""
    reported = progress if experiment.world.is_leader else (lambda _done, _total, _unit: None)
    return CheckStep(
        check=CheckKind.PREFLIGHT,
        enabled=job.spec.preflight_rows > 0,
        run=lambda: preflight_report(experiment, job=job, progress=reported),
        collective=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightPlan:
    """How thorough a pre-flight is, and what its report says besides."""

    rows: int
    samples: int
    """Completions per row, and as many again with the hint."""
    notices: Sequence[Notice]
    """How the request was interpreted: the last findings."""
    others: Sequence[Task] | None = None
    """The tasks under a second instruction to compare."""


def preflight_with_trial_steps(job: PreparedJob, plan: PreflightPlan, *, sandbox: Sandbox, progress: Progress) -> Json:
    """Load the model and run the pre-flight on it, including trial steps. Raises AppError."""
    rows, samples = plan.rows, plan.samples
    settings = engine_settings(job.spec, seed=job.seed)
    with api_errors():
        use_threads(processes=1)
        policy = load(job.model, settings=settings)
        reward = sandboxed_reward(sandbox, job.grader)
        experiment = Experiment(
            settings=settings,
            policy=policy,
            tasks=job.tasks,
            held_out=(),
            reward=reward,
            component_weights=component_weights(job.spec, job.grader),
        )
        with warmed_up(experiment, progress=progress) as warm_steps:
            found = probe(experiment, rows=rows, samples=samples, progress=progress)
            compared = None
            if plan.others is not None:
                compared = compare_instructions(
                    experiment, found, others=plan.others, rows=rows, samples=samples, progress=progress
                )
            trial_steps = None
            if found.plain is not None and not found.lengths.too_long:
                # Among few rows there may be no placebo, or nothing to imitate.
                placebo = settings.hint is Hint.PLACEBO or (
                    settings.practice is not None and settings.practice.hint is Hint.PLACEBO
                )
                needs_all = placebo or method_named(settings.method).imitates
                few = job.tasks if needs_all else chosen_tasks(job.tasks, rows=rows, seed=job.seed)
                teacher = load_teacher(job.spec, settings=settings, student=policy)
                trial_steps = run_trial_steps(replace(experiment, tasks=few, teacher=teacher))
        findings, figures = build_report(
            found,
            settings=settings,
            samples=samples,
            tasks=len(job.tasks),
            trial_steps=trial_steps,
            warm_steps=warm_steps,
        )
        if compared is not None:
            findings.append(compared[0])
            figures["instructions"] = compared[1]
        findings = with_remedies(findings, Situation(job, figures, base_models()))
        said = [*findings, *(notice.as_finding() for notice in plan.notices)]
        return verdict(said, good=findings[0].message, details=figures)


def run_preflight(request: Json, progress: Progress, *, sandbox: Sandbox) -> Json:
    """Run the check `preflight`: `{model, training_file, grader, settings, seed, rows, samples, notices}` -> report.

    With `second_instruction`, the report compares it with that of the settings.
    """
    spec, verifier = RlsdSettings.model_validate(request["settings"]), parse_spec(request["grader"])
    seed = request["seed"]
    with api_errors():
        held_out = imitates(spec)
        tasks = _stored_tasks(request["training_file"], spec=spec, verifier=verifier, seed=seed, held_out=held_out)
        others = None
        if "second_instruction" in request:
            second = spec.model_copy(update={"instruction": request["second_instruction"]})
            others = _stored_tasks(
                request["training_file"], spec=second, verifier=verifier, seed=seed, held_out=held_out
            )
    return preflight_with_trial_steps(
        PreparedJob(model=request["model"], seed=seed, spec=spec, grader=verifier, tasks=tasks, held_out=[]),
        PreflightPlan(
            rows=request["rows"],
            samples=request["samples"],
            notices=[Notice(**fields) for fields in request["notices"]],
            others=others,
        ),
        sandbox=sandbox,
        progress=progress,
    )


def run_teacher_preview(request: Json, _progress: Progress) -> Json:
    """Run the check `teacher_preview`: `{model, training_file, grader, settings, seed, row}` -> the row's prompts.

    Reads no weights.
    """
    spec = RlsdSettings.model_validate(request["settings"])
    settings = engine_settings(spec, seed=request["seed"])
    verifier = None if request["grader"] is None else parse_spec(request["grader"])
    with api_errors():
        tasks = _stored_tasks(
            request["training_file"], spec=spec, verifier=verifier, seed=request["seed"], held_out=False
        )
        task = next((task for task in tasks if task.row == request["row"]), None)
        if task is None:
            raise AppError(
                f"Row {request['row']} is an example in the instruction, or equal to one, so it is not trained on: "
                "choose another row.",
                param="row",
            )
        assets = load_model_assets(request["model"])
        prompt_builder = PromptBuilder(assets.tokenizer, UNBOUNDED, assets.vision())
        allowed = LengthLimits.of(settings, max_positions=assets.max_positions).max_tokens
        found = preview(settings, prompt_builder=prompt_builder, allowed=allowed, tasks=tasks, task=task)
    return found | {"note": " ".join([found["note"], *(notice.message for notice in prompt_notices(spec))])}


@contextmanager
def api_errors() -> Iterator[None]:
    """Raise errors of the block as AppErrors whose `param` fits a request with a top-level `x_rlsd`."""
    try:
        yield
    except (AppError, ValueError, MemoryError) as error:
        fault = classify(error)
        param = None if fault["param"] is None else fault["param"].replace(X_RLSD, "x_rlsd")
        raise AppError(fault["message"], code=fault["code"], param=param) from error


def _stored_tasks(file_id: str, *, spec: RlsdSettings, verifier: Spec | None, seed: int, held_out: bool) -> list[Task]:
    """Load the rows of the file as tasks, without examples.

    `held_out`: without the rows that a job with this seed and no validation file holds out, so that the same rows are
    imitated; otherwise all, since nothing is trained.
    """
    with transaction() as session:
        rows = load_rows(session, file_id)
    return tasks_of(rows, spec=spec, verifier=verifier, seed=seed, validation=None if held_out else [])[0]
