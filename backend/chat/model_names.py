"""Resolution of a model's name to its base and, for a fine-tuned model, its adapter."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from backend.chat.protocol import AdapterRef
from backend.core.settings.spec import RlsdSettings
from backend.db.jobs import Job, job_of_model
from backend.db.projects import find_owned
from backend.db.training import checkpoint_at
from backend.errors import AppError
from backend.jobs.create import HUB_ID

TRAINED = "ft:"
CHECKPOINT = re.compile(r"(?P<adapter>ft:.+):ckpt-step-(?P<step>\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A base model, and for a fine-tuned one its adapter, the job that trained it and when."""

    base: str
    adapter: AdapterRef | None = None
    job: Job | None = None
    created_at: datetime | None = None

    @property
    def skips_special_tokens(self) -> bool:
        """Whether its job left special tokens out of completions; for a base model, whether a new job would."""
        return RlsdSettings.model_validate({} if self.job is None else self.job.spec).skip_special_tokens

    @property
    def folds_system(self) -> bool:
        """Whether its adapter was trained with system messages in user messages (`fold_system`)."""
        return self.job is not None and bool(self.job.spec.get("fold_system"))


def resolve_model(session: Session, name: str, *, project: str, models: Mapping[str, str], hub: bool) -> ServedModel:
    """Resolve a listed name, `ft:…` of a finished job, `ft:…:ckpt-step-N` of a kept checkpoint or, if `hub`, a hub id.

    Jobs are those of the project.

    Raises AppError 404.
    """
    if name in models:
        return ServedModel(name)
    if name.startswith(TRAINED) and "\0" not in name:
        return _trained(session, name, project=project)
    if hub and ".." not in name and HUB_ID.fullmatch(name):
        return ServedModel(name)
    raise no_such_model(name)


def no_such_model(name: str) -> AppError:
    return AppError(
        f"The model '{name:.200}' does not exist or is not in your project: list the models for their names.",
        status=404,
        code="model_not_found",
        param="model",
    )


def _trained(session: Session, name: str, *, project: str) -> ServedModel:
    checkpoint = CHECKPOINT.fullmatch(name)
    if checkpoint is not None:
        return _checkpoint(
            session, name, project=project, adapter_name=checkpoint["adapter"], step=int(checkpoint["step"])
        )
    job = job_of_model(session, name, project=project)
    if job is None or job.adapter_sha256 is None:
        raise no_such_model(name)
    return ServedModel(job.model, AdapterRef(job.adapter_sha256, "archive"), job, job.finished_at)


def _checkpoint(session: Session, name: str, *, project: str, adapter_name: str, step: int) -> ServedModel:
    """Resolve a checkpoint of a job in any state: it is available as soon as it is written."""
    job = find_owned(session, Job, f"ftjob-{adapter_name.rpartition(':')[2]}", project=project)
    if job is None or job.adapter_name != adapter_name:
        raise no_such_model(name)
    kept = checkpoint_at(session, job, step=step)
    if kept is None:
        raise no_such_model(name)
    lora = job.spec["lora"]
    reference = AdapterRef(kept.sha256, "checkpoint", r=lora["r"], alpha=lora["alpha"])
    return ServedModel(job.model, reference, job, kept.created_at)
