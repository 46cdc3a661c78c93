"""Liveness (`/healthz`) and readiness (`/readyz`) of the service. Public, so they report nothing else."""

from collections import Counter
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from kombu.exceptions import KombuError, OperationalError
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError

from backend.api.http.errors import ErrorDetail, error_response
from backend.api.http.operations import probe
from backend.api.http.rights import Anyone
from backend.db.engine import ping, transaction
from backend.errors import AppError
from backend.queue import celery_app
from backend.workers import active_workers

BROKER_TIMEOUT_S = 2.0
router = APIRouter(tags=["server"], dependencies=[Depends(probe)])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The state of each dependency: `ok`, or what is wrong."""

    status: Literal["ok", "unavailable"]
    database: str
    broker: str
    workers: dict[str, int] = Field(description="Active workers by queue. The service is ready even without any.")


class Unready(Readiness):
    """Readiness with the error object of every error response."""

    error: ErrorDetail


@router.get("/healthz")
async def healthz(_: Anyone) -> Health:  # needs no thread: all of them may be busy
    """Return whether the API is running."""
    return Health()


def _database() -> str:
    try:
        ping()
    except SQLAlchemyError as error:
        return f"not reachable ({type(error).__name__})"
    return "ok"


def _broker() -> str:
    try:
        with celery_app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_TIMEOUT_S)
    except (KombuError, OperationalError, OSError) as error:
        return f"not reachable ({type(error).__name__})"
    return "ok"


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Unready}})
def readyz(
    _: Anyone, database: Annotated[str, Depends(_database)], broker: Annotated[str, Depends(_broker)]
) -> Readiness | Response:
    """Return the state of each dependency; 503 if the service is not ready."""
    if database == broker == "ok":
        return Readiness(status="ok", database=database, broker=broker, workers=_workers())
    workers = _workers() if database == "ok" else {}
    readiness = Readiness(status="unavailable", database=database, broker=broker, workers=workers)
    return error_response(
        AppError(
            f"The service is not ready: database {database}, broker {broker}.",
            status=503,
            code="not_ready",
            type="server_error",
        ),
        extra=readiness.model_dump(),
    )


def _workers() -> dict[str, int]:
    with transaction() as session:
        return dict(sorted(Counter(queue for worker in active_workers(session) for queue in worker.queues).items()))
