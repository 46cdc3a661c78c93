"""Manifest of an adapter: hashes of data, verifier, models and code, all settings, package versions."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.base import Json
from backend.db.files import File
from backend.db.jobs import Job
from backend.db.training import Evaluation
from backend.jobs.checkpoints import trained_tokens
from backend.jobs.checks import checks_of
from backend.settings import REPOSITORY
from backend.settings import settings as environment
from backend.verifiers.specs import parse_spec, spec_hash
from worker.engine.model.policy import Policy

PACKAGES = ("torch", "transformers", "peft", "safetensors", "numpy", "scipy", "pillow")
FORMAT = 1
MODEL_FILES = ("*.json", "*.jinja", "*.safetensors", "*.gguf")
"""Configuration, tokenizer, chat template and weights in a model folder."""


def build_manifest(
    *,
    job: Mapping[str, Any],
    data: Mapping[str, Any],
    grader: Mapping[str, Any],
    base: Mapping[str, Any],
    teacher: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    checks: Mapping[str, Any],
    evaluations: list[Mapping[str, Any]],
    steps: int,
    trained_tokens: int,
    sandbox: Mapping[str, Any],
) -> dict[str, Any]:
    """Build the content of `manifest.json`; all values are JSON.

    `teacher`: the external teacher model, if any. `checks`: results before training, and when a failure was overridden.
    """
    return {
        "format": FORMAT,
        "job": dict(job),
        "base_model": dict(base),
        "teacher_model": teacher and dict(teacher),
        "data": dict(data),
        "verifier": dict(grader),
        "settings": dict(settings),
        "checks": dict(checks),
        "steps": steps,
        "trained_tokens": trained_tokens,
        "evaluations": [dict(evaluation) for evaluation in evaluations],
        "sandbox": dict(sandbox),
        "torch_threads": environment().torch_threads,
        "code": {"version": version("rlsd-workbench"), "sha256": source_sha256()},
        "packages": {name: version(name) for name in PACKAGES},
    }


def source_sha256(root: Path = REPOSITORY) -> str:
    """Return the SHA-256 over path and content of every Python file of the backend and the worker."""
    return folder_sha256(root, patterns=("backend/**/*.py", "worker/**/*.py"))


def model_identity(name: str, *, source: str, policy: Policy) -> dict[str, Any]:
    """Identify a model by its hub commit, or by the hash of a folder's files (`MODEL_FILES`).

    Also records whether the model's own code was allowed to run; a folder's code is then hashed too.
    """
    folder, remote_code = Path(source), policy.allows_remote_code
    patterns = (*MODEL_FILES, *(("*.py",) if remote_code else ()))
    if folder.is_dir():
        return {"name": name, "sha256": folder_sha256(folder, patterns=patterns), "remote_code_allowed": remote_code}
    commit = getattr(policy.model.config, "_commit_hash", None)
    return {"name": name, "hub_id": source, "commit": commit, "remote_code_allowed": remote_code}


def base_name(manifest: Mapping[str, Any]) -> str:
    """Return the value of `base_model_name_or_path`: the hub id if there is one, else the local name."""
    base = manifest["base_model"]
    return str(base.get("hub_id", base["name"]))


def folder_sha256(root: Path, *, patterns: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def job_manifest(
    session: Session, job: Job, *, step: int, base: Json, teacher: Json | None, sandbox: Json
) -> dict[str, Any]:
    """Build the manifest of a job at this step. `base`, `teacher`: model identities; `sandbox`: its identity."""

    def file_facts(file_id: str | None) -> Json | None:
        file = None if file_id is None else session.get_one(File, file_id)
        return None if file is None else {"filename": file.filename, "sha256": file.sha256, "rows": file.row_count}

    evaluations = session.scalars(
        select(Evaluation.result)
        .where(Evaluation.job_id == job.id, Evaluation.step <= step)
        .order_by(Evaluation.step, Evaluation.created_at)
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
        trained_tokens=trained_tokens(session, job, step=step),
        sandbox=sandbox,
    )
