"""`rlsd train`: runs one job in the foreground, without database, broker or API; results go into a folder.

The job file is the API's request body without file ids; data and verifier are given as files.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from backend.cli.standalone import run_standalone
from backend.datasets.rows.rows import NormalRow, items_and_answers, read_rows
from backend.db.base import Json
from backend.errors import AppError
from backend.jobs.checks import without_details
from backend.jobs.held_out import count_shared, shared_notices
from backend.jobs.hints import first_without_in_rows, resolve_hint
from backend.jobs.notices import Notice, grader_notices, number_notices, prompt_notices
from backend.jobs.request import JobRequest, first_validation_error
from backend.jobs.resolve import resolve_settings
from backend.jobs.spec import RlsdSettings
from backend.settings import settings as environment
from backend.tracking.choice import enabled_trackers
from backend.tracking.run import TrackedRun, flat
from backend.verifiers.reading import with_decimal_marks
from backend.verifiers.specs import Spec, parse_spec, spec_hash
from worker.checks.before_training import run_checks_in, self_check
from worker.checks.preflight import preflight_step
from worker.checks.self_check import read_grader
from worker.engine import loop
from worker.engine.distributed import ProcessLost
from worker.engine.model.policy import Policy
from worker.engine.types import Ending, Task
from worker.exports.adapter_zip import write_adapter_zip
from worker.faults import PAUSES, classify
from worker.sandbox.pool import Sandbox
from worker.training.folder_observer import FolderObserver
from worker.training.launch import launch
from worker.training.manifest import base_name, build_manifest, file_sha256
from worker.training.prepare import (
    engine_settings,
    identity,
    load_shared,
    load_teacher,
    sandboxed_reward,
    tasks_of,
    use_threads,
)
from worker.training.process_group import join_process_group, launched
from worker.training.tracking import tracked

DEFAULT_SEED = 0


def train(
    job: Annotated[
        Path, typer.Argument(help="Job file: the API's request body as JSON, without file ids.", exists=True)
    ],
    data: Annotated[Path, typer.Option(help="File with training rows.", exists=True)],
    output: Annotated[Path, typer.Option(help="Folder for the results; must be new or empty.")],
    verifier: Annotated[
        Path | None, typer.Option(help="Python file, or JSON file of a grader; replaces the job's grader.", exists=True)
    ] = None,
    validation: Annotated[Path | None, typer.Option(help="File with held-out rows.", exists=True)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the checkpoint in the output folder.")] = False,
    model: Annotated[str | None, typer.Option(help="Model name, hub id or folder; replaces the job's model.")] = None,
    ignore_checks: Annotated[
        bool, typer.Option("--ignore-checks", help="Train even if a check before training fails.")
    ] = False,
) -> None:
    """Run one job in the foreground, without any service."""
    started = time.monotonic()
    prepared = prepare_job(job, data=data, verifier=verifier, validation=validation, model=model)
    spec = prepared.spec
    output.mkdir(parents=True, exist_ok=True)
    if any(output.iterdir()) and not resume and not launched():
        raise AppError(f"The folder {output} is not empty: choose another with --output, or continue with --resume.")
    for notice in () if launched() else prepared.notices:
        print(f"{notice.level}: {notice.message}", flush=True)
    if spec.devices > 1 and not launched():
        sys.exit(launch(spec.devices, main))
    use_threads(processes=spec.devices)
    settings = engine_settings(spec, seed=prepared.seed)
    observer = FolderObserver(output, max_steps=spec.max_steps)
    with join_process_group(processes=spec.devices, device=spec.device) as world, Sandbox() as sandbox:
        verifier_check = self_check(prepared.tasks, spec=spec, verifier=prepared.grader, sandbox=sandbox)
        run_checks_in(output, [verifier_check], spec=spec, world=world, ignore=ignore_checks, resume=resume)
        policy, world = load_shared(prepared.model, settings=settings, world=world)
        reward = sandboxed_reward(sandbox, prepared.grader)
        preflight = preflight_step(
            settings,
            spec=spec,
            policy=policy,
            tasks=prepared.tasks,
            reward=reward,
            progress=_print_progress,
            world=world,
        )
        found = run_checks_in(output, [preflight], spec=spec, world=world, ignore=ignore_checks, resume=resume)
        teacher = load_teacher(spec, settings=settings, student=policy)
        sandbox_identity = sandbox.identity()
        with tracked(
            observer, enabled_trackers(environment()) if world.is_leader else {}, run=_tracked_run(prepared, output)
        ) as tracked_observer:
            ending = loop.run(
                settings,
                policy=policy,
                tasks=prepared.tasks,
                held_out=prepared.held_out,
                reward=reward,
                observer=tracked_observer,
                resume=world.broadcast(observer.resumed() if resume and world.is_leader else None),
                teacher=teacher,
                world=world,
            )
            tracked_observer.close(ending)
    if not world.is_leader:
        return
    _require_done(ending)
    manifest = _manifest(
        prepared, observer, checks=found, policy=policy, teacher=teacher, sandbox_identity=sandbox_identity
    )
    adapter = output / "adapter.zip"
    write_adapter_zip(policy, adapter, base_model=base_name(manifest), manifest=manifest)
    print(json.dumps({"adapter": str(adapter), "sha256": file_sha256(adapter), "seconds": time.monotonic() - started}))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedJob:
    """A job with its files read and its settings resolved."""

    model: str
    name: str
    """Of the adapter."""
    seed: int
    spec: RlsdSettings
    grader: Spec
    grader_json: dict[str, Any]
    tasks: list[Task]
    held_out: list[Task]
    notices: tuple[Notice, ...]
    data: dict[str, Any]
    """What the manifest records about the input files."""


def prepare_job(
    job: Path, *, data: Path, verifier: Path | None, validation: Path | None, model: str | None
) -> PreparedJob:
    """Read the job file and its inputs. Raises AppError naming the problem."""
    try:
        request = JobRequest.model_validate(_job_body(job, verifier=verifier, model=model))
    except ValidationError as error:
        raise first_validation_error(error) from None
    reinforcement = request.method.reinforcement
    rows, validation_rows = _rows(data), None if validation is None else _rows(validation)
    shared: tuple[Notice, ...] = ()
    if validation is not None and validation_rows is not None:
        count = count_shared(validation_rows, training=rows)
        shared = shared_notices(count, rows=len(validation_rows), filename=validation.name)
    grader, columns = with_decimal_marks(parse_spec(reinforcement.grader), items_and_answers(rows))
    seed = DEFAULT_SEED if request.seed is None else request.seed
    first = resolve_settings(reinforcement, row_count=len(rows))
    tasks, held_out = tasks_of(rows, spec=first, verifier=grader, seed=seed, validation=validation_rows)
    spec, notices = resolve_hint(
        resolve_settings(reinforcement, row_count=len(tasks)),  # passes count what is trained on
        given=reinforcement.x_rlsd,
        first_without=first_without_in_rows(rows, spec=grader),
        filename=data.name,
    )
    return PreparedJob(
        model=request.model,
        name=f"ft:{request.model}:rlsd:{request.suffix or ''}:local",
        seed=seed,
        spec=spec,
        grader=grader,
        grader_json=reinforcement.grader,
        tasks=tasks,
        held_out=held_out,
        notices=(
            *shared,
            *notices,
            *prompt_notices(spec),
            *grader_notices(grader),
            *number_notices(columns.values()),
        ),
        data={
            "training": _file_facts(data, rows=rows),
            "validation": validation and _file_facts(validation, rows=validation_rows or []),
        },
    )


def _manifest(
    prepared: PreparedJob,
    observer: FolderObserver,
    *,
    checks: Json,
    policy: Policy,
    teacher: Policy | None,
    sandbox_identity: Json,
) -> Json:
    return build_manifest(
        job={"id": None, "name": prepared.name, "seed": prepared.seed},
        data=prepared.data,
        grader={"spec": prepared.grader_json, "sha256": spec_hash(prepared.grader)},
        base=identity(prepared.model, policy),
        teacher=None if teacher is None else identity(str(prepared.spec.teacher_model), teacher),
        settings=prepared.spec.model_dump(mode="json", by_alias=True),
        checks=without_details(checks),
        evaluations=[{k: v for k, v in e.items() if k != "per_question"} for e in observer.evaluations],
        steps=observer.steps,
        trained_tokens=observer.trained_tokens,
        sandbox=sandbox_identity,
    )


def _print_progress(done: int, total: int, unit: str) -> None:
    print(f"pre-flight: {done}/{total} {unit}", flush=True)


def _tracked_run(prepared: PreparedJob, output: Path) -> TrackedRun:
    """Describe the run for trackers; the folder's name is its id, so a resumed run keeps it."""
    about = {"model": prepared.model, "seed": prepared.seed}
    settings = flat(about | prepared.spec.model_dump(mode="json", by_alias=True))
    return TrackedRun(id=output.resolve().name, name=output.resolve().name, settings=settings)


def _require_done(ending: Ending) -> None:
    """Raise AppError, with how to continue, if the run ended early."""
    if ending in PAUSES:
        pause = PAUSES[ending]
        raise AppError(f"{pause['message']} (Use --resume to continue from the checkpoint.)", code=pause["code"])
    if ending is not Ending.DONE:
        raise AppError(f"The job ended early: {ending}. See the output above.")


def _file_facts(path: Path, *, rows: Sequence[NormalRow]) -> dict[str, Any]:
    return {"filename": path.name, "sha256": file_sha256(path), "rows": len(rows)}


def _job_body(path: Path, *, verifier: Path | None, model: str | None) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(path.read_text())
        reinforcement = body["method"]["reinforcement"]
    except (ValueError, KeyError, TypeError) as error:
        raise AppError(f"{path} is not a valid job file: {type(error).__name__}: {error}.") from None
    if verifier is not None:
        reinforcement["grader"] = read_grader(verifier, settings=reinforcement.get("grader"))
    return body | {"training_file": "local"} | ({"model": model} if model else {})


def _rows(path: Path) -> Sequence[NormalRow]:
    with path.open("rb") as file:
        return read_rows(file)


def main() -> None:
    try:
        run_standalone(train, name="train")
    except (AppError, ValueError, MemoryError) as error:  # anything else is a bug, shown with its traceback
        print(f"rlsd: {classify(error)['message']}", file=sys.stderr)
        sys.exit(1)
    except ProcessLost:  # the process that failed has printed the reason
        sys.exit(1)


if __name__ == "__main__":
    main()
