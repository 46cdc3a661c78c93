"""Is the process alive (`/healthz`), and can it do its work (`/readyz`)? Open to all, telling nothing else."""

from collections import Counter
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from kombu.exceptions import KombuError, OperationalError
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from backend.api.http.errors import ErrorDetail, error_response
from backend.db.engine import transaction
from backend.errors import AppError
from backend.queue import celery_app
from backend.workers import seen_now

BROKER_TIMEOUT_S = 2.0
router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Each part is `ok` or says what is wrong with it."""

    status: Literal["ok", "unavailable"]
    database: str
    broker: str
    workers: dict[str, int] = Field(description="Workers seen lately, by queue; a service without any still answers.")


class Unready(Readiness):
    """With the error that every refusal has."""

    error: ErrorDetail


@router.get("/healthz")
async def healthz() -> Health:  # without a thread: all of them may be waiting
    return Health()


def _database() -> str:
    try:
        with transaction() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return f"does not answer ({type(error).__name__})"
    return "ok"


def _broker() -> str:
    try:
        with celery_app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_TIMEOUT_S)
    except (KombuError, OperationalError, OSError) as error:
        return f"does not answer ({type(error).__name__})"
    return "ok"


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Unready}})
def readyz(
    database: Annotated[str, Depends(_database)], broker: Annotated[str, Depends(_broker)]
) -> Readiness | Response:
    if database == broker == "ok":
        return Readiness(status="ok", database=database, broker=broker, workers=_workers())
    workers = _workers() if database == "ok" else {}
    seen = Readiness(status="unavailable", database=database, broker=broker, workers=workers)
    return error_response(
        AppError(
            f"The service is not ready: database {database}, broker {broker}.",
            status=503,
            code="not_ready",
            type="server_error",
        ),
        beside=seen.model_dump(),
    )


def _workers() -> dict[str, int]:
    with transaction() as session:
        return dict(sorted(Counter(queue for worker in seen_now(session) for queue in worker.queues).items()))
