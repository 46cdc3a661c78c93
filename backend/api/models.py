"""`/v1/models`: the base models of this server, and what was trained on it (`ft:…`)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend import blobs
from backend.api.deps import Auth, Database
from backend.api.paging import ListItem, Page, page
from backend.db.base import unix_s
from backend.db.jobs import Job
from backend.errors import AppError, not_found
from backend.settings import settings

router = APIRouter(prefix="/models", tags=["models"])

ModelName = Annotated[str, Path(min_length=1, max_length=400)]


class ModelObject(ListItem):
    """OpenAI's model object. `x_job` is the job that made it, None for a base model."""

    object: Literal["model"] = "model"
    created: int
    owned_by: str
    x_job: str | None = None


class DeletedModel(BaseModel):
    id: str
    object: Literal["model"] = "model"
    deleted: bool = True


@router.get("")
def list_models(_: Auth, session: Database) -> Page[ModelObject]:
    return page(_models(session))


@router.get("/{model:path}")
def get_model(model: ModelName, _: Auth, session: Database) -> ModelObject:
    shown = next((known for known in _models(session) if known.id == model), None)
    if shown is None:
        raise not_found("model", model)
    return shown


@router.delete("/{model:path}")
def delete_model(model: ModelName, _: Auth, session: Database) -> DeletedModel:
    """Delete the adapter that a job trained. The job and its checkpoints stay."""
    if model in settings().models:
        raise AppError(
            f"'{model}' is a base model of this server: only what was trained here ('ft:…') can be deleted.",
            code="model_not_deletable",
            param="model",
        )
    job = None if "\0" in model else session.scalar(select(Job).where(Job.fine_tuned_model == model).with_for_update())
    if job is None:
        raise not_found("model", model)
    sha256, job.fine_tuned_model, job.adapter_sha256 = job.adapter_sha256, None, None
    session.flush()
    if sha256 is not None:
        blobs.drop_unused(session, sha256)
    return DeletedModel(id=model)


def _models(session: Session) -> list[ModelObject]:
    bases = [ModelObject(id=name, created=0, owned_by="base") for name in settings().models]
    trained = session.execute(
        select(Job.fine_tuned_model, Job.finished_at, Job.id)
        .where(Job.fine_tuned_model.is_not(None))
        .order_by(Job.finished_at.desc())
    )
    return bases + [
        ModelObject(id=name, created=unix_s(finished_at) or 0, owned_by="trained", x_job=job_id)
        for name, finished_at, job_id in trained
        if name is not None
    ]
