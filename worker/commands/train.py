"""`rlsd train`: one job in the foreground, without database, broker or API; results go into a folder.

The job file is the body that the API takes, without file ids; data and verifier come as files.
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
from backend.datasets.rows.rows import NormalRow, read_rows
from backend.db.base import Json
from backend.errors import AppError
from backend.jobs.checks import all_in_short
from backend.jobs.hints import in_rows, settle_hint
from backend.jobs.notices import Notice, of_grader
from backend.jobs.request import JobRequest, first_problem
from backend.jobs.resolve import resolve_settings
from backend.jobs.spec import RlsdSettings
from backend.settings import settings as environment
from backend.tracking.choice import wanted
from backend.tracking.run import TrackedRun, flat
from backend.verifiers.specs import Spec, parse_spec, spec_hash
from worker.checks.before_training import run_checks_in, self_check
from worker.checks.preflight import preflight_step
from worker.checks.self_check import grader_in
from worker.engine import loop
from worker.engine.distributed import ProcessLost
from worker.engine.model.policy import Policy
from worker.engine.types import Ending, Task
from worker.exports.adapter_zip import write_adapter_zip
from worker.faults import PAUSES, classified
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
from worker.training.process_group import joined_world, launched
from worker.training.tracking import tracked

DEFAULT_SEED = 0


def train(
    job: Annotated[Path, typer.Argument(help="The job: the API's body as JSON, without file ids.", exists=True)],
    data: Annotated[Path, typer.Option(help="Training rows.", exists=True)],
    output: Annotated[Path, typer.Option(help="Folder for the results; new or empty.")],
    verifier: Annotated[
        Path | None, typer.Option(help="A .py file or a grader's JSON, where the job holds no grader.", exists=True)
    ] = None,
    validation: Annotated[Path | None, typer.Option(help="Held-out rows.", exists=True)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the output folder.")] = False,
    model: Annotated[str | None, typer.Option(help="Name, hub id or folder; replaces the job's model.")] = None,
    ignore_checks: Annotated[
        bool, typer.Option("--ignore-checks", help="Train even where a check before training fails.")
    ] = False,
) -> None:
    """Run one job in the foreground, without any service."""
    started = time.monotonic()
    errand = read_errand(job, data=data, verifier=verifier, validation=validation, model=model)
    spec = errand.spec
    output.mkdir(parents=True, exist_ok=True)
    if any(output.iterdir()) and not resume and not launched():
        raise AppError(f"The folder {output} is not empty: choose another with --output, or go on with --resume.")
    for notice in () if launched() else errand.notices:
        print(f"{notice.level}: {notice.message}", flush=True)
    if spec.devices > 1 and not launched():
        sys.exit(launch(spec.devices, main))
    use_threads(processes=spec.devices)
    settings = engine_settings(spec, seed=errand.seed)
    observer = FolderObserver(output, max_steps=spec.max_steps)
    with joined_world(processes=spec.devices, device=spec.device) as world, Sandbox() as sandbox:
        of_verifier = self_check(errand.tasks, spec=spec, verifier=errand.grader, sandbox=sandbox)
        run_checks_in(output, [of_verifier], spec=spec, world=world, ignore=ignore_checks, resume=resume)
        policy, world = load_shared(errand.model, settings=settings, world=world)
        reward = sandboxed_reward(sandbox, errand.grader)
        of_model = preflight_step(
            settings, spec=spec, policy=policy, tasks=errand.tasks, reward=reward, progress=_say, world=world
        )
        found = run_checks_in(output, [of_model], spec=spec, world=world, ignore=ignore_checks, resume=resume)
        teacher = load_teacher(spec, settings=settings, student=policy)
        box = sandbox.identity()
        with tracked(observer, wanted(environment()) if world.leads else {}, run=_tracked_run(errand, output)) as told:
            ending = loop.run(
                settings,
                policy=policy,
                tasks=errand.tasks,
                held_out=errand.held_out,
                reward=reward,
                observer=told,
                resume=world.as_leader(observer.resumed() if resume and world.leads else None),
                teacher=teacher,
                world=world,
            )
            told.close(ending)
    if not world.leads:
        return
    _require_done(ending)
    manifest = _manifest(errand, observer, checks=found, policy=policy, teacher=teacher, box=box)
    adapter = output / "adapter.zip"
    write_adapter_zip(policy, adapter, base_model=base_name(manifest), manifest=manifest)
    print(json.dumps({"adapter": str(adapter), "sha256": file_sha256(adapter), "seconds": time.monotonic() - started}))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedJob:
    """A job with its files, read and decided."""

    model: str
    name: str
    """Of the adapter."""
    seed: int
    spec: RlsdSettings
    grader: Spec
    grader_as_said: dict[str, Any]
    tasks: list[Task]
    held_out: list[Task]
    notices: tuple[Notice, ...]
    data: dict[str, Any]
    """The manifest's word on the files."""


def read_errand(
    job: Path, *, data: Path, verifier: Path | None, validation: Path | None, model: str | None
) -> PreparedJob:
    """Read everything that was given. Raises AppError naming what is wrong."""
    try:
        request = JobRequest.model_validate(_job_body(job, verifier=verifier, model=model))
    except ValidationError as error:
        raise first_problem(error) from None
    reinforcement = request.method.reinforcement
    rows, validation_rows = _rows(data), None if validation is None else _rows(validation)
    grader = parse_spec(reinforcement.grader)
    seed = DEFAULT_SEED if request.seed is None else request.seed
    first = resolve_settings(reinforcement, row_count=len(rows))
    tasks, held_out = tasks_of(rows, spec=first, verifier=grader, seed=seed, validation=validation_rows)
    spec, notices = settle_hint(
        resolve_settings(reinforcement, row_count=len(tasks)),  # passes count what is trained on
        said=reinforcement.x_rlsd,
        first_without=in_rows(rows, spec=grader),
        filename=data.name,
    )
    return PreparedJob(
        model=request.model,
        name=f"ft:{request.model}:rlsd:{request.suffix or ''}:local",
        seed=seed,
        spec=spec,
        grader=grader,
        grader_as_said=reinforcement.grader,
        tasks=tasks,
        held_out=held_out,
        notices=(*notices, *of_grader(grader)),
        data={
            "training": _file_facts(data, rows=rows),
            "validation": validation and _file_facts(validation, rows=validation_rows or []),
        },
    )


def _manifest(
    errand: PreparedJob,
    observer: FolderObserver,
    *,
    checks: Json,
    policy: Policy,
    teacher: Policy | None,
    box: Json,
) -> Json:
    return build_manifest(
        job={"id": None, "name": errand.name, "seed": errand.seed},
        data=errand.data,
        grader={"spec": errand.grader_as_said, "sha256": spec_hash(errand.grader)},
        base=identity(errand.model, policy),
        teacher=None if teacher is None else identity(str(errand.spec.teacher_model), teacher),
        settings=errand.spec.model_dump(mode="json", by_alias=True),
        checks=all_in_short(checks),
        evaluations=[{k: v for k, v in e.items() if k != "per_question"} for e in observer.evaluations],
        steps=observer.steps,
        trained_tokens=observer.trained_tokens,
        sandbox=box,
    )


def _say(done: int, total: int, unit: str) -> None:
    print(f"pre-flight: {done}/{total} {unit}", flush=True)


def _tracked_run(errand: PreparedJob, output: Path) -> TrackedRun:
    """The folder stands for the job's id: a run that goes on there is the same."""
    about = {"model": errand.model, "seed": errand.seed}
    settings = flat(about | errand.spec.model_dump(mode="json", by_alias=True))
    return TrackedRun(id=output.resolve().name, name=output.resolve().name, settings=settings)


def _require_done(ending: Ending) -> None:
    """AppError, saying how to go on, where a run ended early."""
    if ending in PAUSES:
        pause = PAUSES[ending]
        raise AppError(f"{pause['message']} (--resume goes on from the checkpoint.)", code=pause["code"])
    if ending is not Ending.DONE:
        raise AppError(f"The job ended early: {ending}. See the lines above.")


def _file_facts(path: Path, *, rows: Sequence[NormalRow]) -> dict[str, Any]:
    return {"filename": path.name, "sha256": file_sha256(path), "rows": len(rows)}


def _job_body(path: Path, *, verifier: Path | None, model: str | None) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(path.read_text())
        reinforcement = body["method"]["reinforcement"]
    except (ValueError, KeyError, TypeError) as error:
        raise AppError(f"{path} is not a job: {type(error).__name__}: {error}.") from None
    if verifier is not None:
        reinforcement["grader"] = grader_in(verifier)
    return body | {"training_file": "local"} | ({"model": model} if model else {})


def _rows(path: Path) -> Sequence[NormalRow]:
    with path.open("rb") as file:
        return read_rows(file)


def main() -> None:
    try:
        run_standalone(train, name="train")
    except (AppError, ValueError, MemoryError) as error:  # anything else is a bug, shown with its traceback
        print(f"rlsd: {classified(error)['message']}", file=sys.stderr)
        sys.exit(1)
    except ProcessLost:  # which says what happened itself
        sys.exit(1)


if __name__ == "__main__":
    main()
