"""From a stored file, a model, a verifier and settings to the pre-flight's report and the teacher's prompts.

Shared by the `sample` queue, jobs before their first step, and `rlsd preflight`.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from backend.checks import Progress
from backend.datasets.rows.rows import load_rows
from backend.db.base import Json, utc_now
from backend.db.engine import transaction
from backend.errors import AppError
from backend.jobs.lease import Lease, held_job
from backend.jobs.resolve import X_RLSD
from backend.jobs.spec import RlsdSettings
from backend.verdict import Finding, Level, verdict
from backend.verifiers.specs import Spec, parse_spec
from worker.checks.before_training import CheckStep
from worker.engine.distributed import ProcessGroup
from worker.engine.model.policy import Policy
from worker.engine.preflight.preview import preview
from worker.engine.preflight.probe import UNBOUNDED, ProbeRequest, chosen_tasks, probe
from worker.engine.preflight.report import outlook
from worker.engine.preflight.trial_steps import rehearse
from worker.engine.rollouts.prompts import LengthLimits, PromptBuilder
from worker.engine.settings import Settings
from worker.engine.types import Hint, Reward, Task
from worker.faults import classified
from worker.sandbox.pool import Sandbox
from worker.training.prepare import (
    engine_settings,
    load,
    load_teacher,
    load_words,
    sandboxed_reward,
    tasks_of,
    use_threads,
)

ALIVE_S = 5.0
"""Seconds between two words that a job is alive."""


def judged(settings: Settings, *, trial: ProbeRequest) -> Json:
    """The pre-flight on a policy that will be trained: it stays as it is, so no step is rehearsed."""
    found = probe(settings, trial=trial)
    return _verdict(outlook(found, settings=settings, samples=trial.samples, tasks=len(trial.tasks), rehearsal=None))


def preflight_step(
    settings: Settings,
    *,
    spec: RlsdSettings,
    policy: Policy,
    tasks: Sequence[Task],
    reward: Reward,
    progress: Progress,
    world: ProcessGroup,
) -> CheckStep:
    """The pre-flight as a step before training, on the policy to be trained. The leader tells progress."""
    trial = ProbeRequest(
        policy=policy,
        tasks=tasks,
        reward=reward,
        rows=spec.preflight_rows,
        samples=spec.preflight_samples,
        progress=progress if world.leads else (lambda _done, _total, _unit: None),
        world=world,
    )
    return CheckStep(
        check="preflight",
        wanted=spec.preflight_rows > 0,
        carry_out=lambda: judged(settings, trial=trial),
        together=True,
    )


def keeping(lease: Lease) -> Progress:
    """Tells now and then that the job is alive. Raises LeaseLostError where it belongs to another by now."""
    told = time.monotonic()

    def tell(_done: int, _total: int, _unit: str) -> None:
        nonlocal told
        if time.monotonic() - told >= ALIVE_S:
            told = time.monotonic()
            with transaction() as session:
                held_job(session, lease).progress_at = utc_now()

    return tell


def judged_and_rehearsed(
    spec: RlsdSettings,
    *,
    model: str,
    tasks: Sequence[Task],
    verifier: Spec,
    seed: int,
    rows: int,
    samples: int,
    sandbox: Sandbox,
    progress: Progress,
) -> Json:
    """The pre-flight with a model of its own, which also takes a real step. Raises AppError."""
    settings = engine_settings(spec, seed=seed)
    reward = sandboxed_reward(sandbox, verifier)
    with in_our_words():
        use_threads(processes=1)
        policy = load(model, settings=settings)
        trial = ProbeRequest(policy=policy, tasks=tasks, reward=reward, rows=rows, samples=samples, progress=progress)
        found = probe(settings, trial=trial)
        rehearsal = None
        if found.plain is not None and not found.lengths.too_long:
            # A placebo may not be found among few rows.
            few = tasks if settings.hint == Hint.PLACEBO else chosen_tasks(tasks, rows=rows, seed=seed)
            teacher = load_teacher(spec, settings=settings, student=policy)
            rehearsal = rehearse(settings, policy=policy, teacher=teacher, tasks=few, reward=reward)
        return _verdict(outlook(found, settings=settings, samples=samples, tasks=len(tasks), rehearsal=rehearsal))


def run_preflight(request: Json, progress: Progress, *, sandbox: Sandbox) -> Json:
    """`{model, training_file, grader, settings, seed, rows, samples}` -> the report."""
    spec, verifier = RlsdSettings.model_validate(request["settings"]), parse_spec(request["grader"])
    return judged_and_rehearsed(
        spec,
        model=request["model"],
        tasks=_stored_tasks(request["training_file"], spec=spec, verifier=verifier, seed=request["seed"]),
        verifier=verifier,
        seed=request["seed"],
        rows=request["rows"],
        samples=request["samples"],
        sandbox=sandbox,
        progress=progress,
    )


def run_teacher_preview(request: Json, _progress: Progress) -> Json:
    """`{model, training_file, grader, settings, seed, row}` -> the prompts of that row. Reads no weights."""
    spec = RlsdSettings.model_validate(request["settings"])
    settings = engine_settings(spec, seed=request["seed"])
    verifier = None if request["grader"] is None else parse_spec(request["grader"])
    tasks = _stored_tasks(request["training_file"], spec=spec, verifier=verifier, seed=request["seed"])
    task = next(task for task in tasks if task.row == request["row"])
    with in_our_words():
        words = load_words(request["model"])
        reader = PromptBuilder(words.tokenizer, UNBOUNDED, words.vision())
        allowed = LengthLimits.of(settings, max_positions=words.max_positions).tokens
        return preview(settings, reader=reader, allowed=allowed, tasks=tasks, task=task)


@contextmanager
def in_our_words() -> Iterator[None]:
    """What is refused inside the block is an AppError, in the words of a request that holds `x_rlsd` itself."""
    try:
        yield
    except (AppError, ValueError, MemoryError) as error:
        said = classified(error)
        param = None if said["param"] is None else said["param"].replace(X_RLSD, "x_rlsd")
        raise AppError(said["message"], code=said["code"], param=param) from error


def _stored_tasks(file_id: str, *, spec: RlsdSettings, verifier: Spec | None, seed: int) -> list[Task]:
    """Every row of the file: nothing is trained here, so nothing is held out."""
    with transaction() as session:
        rows = load_rows(session, file_id)
    return tasks_of(rows, spec=spec, verifier=verifier, seed=seed, validation=[])[0]


def _verdict(report: dict[str, Any]) -> Json:
    findings = [Finding(found["code"], Level(found["level"]), found["message"]) for found in report["findings"]]
    details = {name: value for name, value in report.items() if name != "findings"}
    return verdict(findings, good=findings[0].message, details=details)
