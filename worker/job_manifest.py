"""The manifest of a job from what the database knows of it, for its adapter and for what is exported of it."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.base import Json
from backend.db.files import File
from backend.db.jobs import Job
from backend.db.training import Evaluation
from backend.jobs.checks import checks_of
from backend.verifiers.specs import parse_spec, spec_hash
from worker.manifest import build_manifest
from worker.steps import trained_tokens


def job_manifest(
    session: Session, job: Job, *, step: int, base: Json, teacher: Json | None, sandbox: Json
) -> dict[str, Any]:
    """As of this step. `base`, `teacher`: identities of models; `sandbox`: what verifiers ran in."""

    def file_facts(file_id: str | None) -> Json | None:
        file = None if file_id is None else session.get_one(File, file_id)
        return None if file is None else {"filename": file.filename, "sha256": file.sha256, "rows": file.row_count}

    evaluations = session.scalars(
        select(Evaluation.result)
        .where(Evaluation.job_id == job.id, Evaluation.step <= step)
        .order_by(Evaluation.step, Evaluation.phase)
    )
    return build_manifest(
        job={"id": job.id, "name": job.adapter_name, "seed": job.seed},
        data={"training": file_facts(job.training_file), "validation": file_facts(job.validation_file)},
        grader={"spec": job.grader, "sha256": spec_hash(parse_spec(job.grader))},
        base=base,
        teacher=teacher,
        settings=job.spec,
        checks=checks_of(job),
        evaluations=[{k: v for k, v in result.items() if k != "per_question"} for result in evaluations],
        steps=step,
        trained_tokens=trained_tokens(session, job.id, step=step),
        sandbox=sandbox,
    )
