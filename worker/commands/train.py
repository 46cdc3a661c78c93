"""`rlsd train`: runs one job in the foreground, without database, broker or API; results go into a folder.

The job file is the API's request body without file ids; data and verifier are given as files.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from backend.cli.standalone import Mapping
from backend.datasets.rows.rows import NormalRow, items_and_answers, read_rows
from backend.datasets.rows.shape import ColumnMapping, parse_mapping
from backend.errors import AppError
from backend.jobs.components import component_weights
from backend.jobs.held_out import count_shared, require_halves, shared_notices
from backend.jobs.hints import first_without_in_rows, resolve_hint
from backend.jobs.imitation import require_rows
from backend.jobs.notices import Notice, grader_notices, number_notices, setting_notices
from backend.jobs.request import JobRequest, first_validation_error
from backend.jobs.resolve import resolve_settings
from backend.verifiers.reading import with_decimal_marks
from backend.verifiers.specs import parse_spec
from worker.checks.self_check import read_grader
from worker.commands.foreground import run_in_foreground
from worker.runs.folder_sink import FolderSink, LocalJob
from worker.runs.run_job import run_job
from worker.training.launch import launch
from worker.training.manifest import file_sha256
from worker.training.prepare import tasks_of
from worker.training.process_group import launched

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
    mapping: Mapping = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the checkpoint in the output folder.")] = False,
    model: Annotated[str | None, typer.Option(help="Model name, hub id or folder; replaces the job's model.")] = None,
    ignore_checks: Annotated[
        bool, typer.Option("--ignore-checks", help="Train even if a check before training fails.")
    ] = False,
) -> None:
    """Run one job in the foreground, without any service."""
    prepared = prepare_job(job, data=data, verifier=verifier, validation=validation, mapping=mapping, model=model)
    devices = prepared.spec.devices
    output.mkdir(parents=True, exist_ok=True)
    if any(output.iterdir()) and not resume and not launched():
        raise AppError(f"The folder {output} is not empty: choose another with --output, or continue with --resume.")
    for notice in () if launched() else prepared.notices:
        print(f"{notice.level}: {notice.message}", flush=True)
    if devices > 1 and not launched():
        sys.exit(launch(devices, main))
    run_job(prepared, FolderSink(output, prepared, resume=resume, ignore_checks=ignore_checks))


def prepare_job(
    job: Path, *, data: Path, verifier: Path | None, validation: Path | None, mapping: str | None, model: str | None
) -> LocalJob:
    """Read the job file and its inputs. Raises AppError naming the problem."""
    columns_of = None if mapping is None else parse_mapping(mapping)
    try:
        request = JobRequest.model_validate(_job_body(job, verifier=verifier, model=model))
    except ValidationError as error:
        raise first_validation_error(error) from None
    reinforcement = request.method.reinforcement
    rows = _rows(data, mapping=columns_of)
    validation_rows = None if validation is None else _rows(validation, mapping=columns_of)
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
    component_weights(spec, grader)
    target = spec.warm_start.target.value
    require_rows(spec, with_text=[getattr(task, target) is not None for task in tasks], filename=data.name)
    require_halves(spec, questions=len(held_out))
    return LocalJob(
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
            *setting_notices(spec, given=reinforcement.x_rlsd),
            *grader_notices(grader),
            *number_notices(columns.values()),
        ),
        data={
            "training": _file_facts(data, rows=rows),
            "validation": validation and _file_facts(validation, rows=validation_rows or []),
        },
    )


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


def _rows(path: Path, *, mapping: ColumnMapping | None) -> Sequence[NormalRow]:
    with path.open("rb") as file:
        return read_rows(file, mapping=mapping)


def main() -> None:
    run_in_foreground(train, name="train")


if __name__ == "__main__":
    main()
