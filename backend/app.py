"""The ASGI application: `backend.app:app`. It reads and answers; training and users' code run in workers."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from starlette.middleware.exceptions import ExceptionMiddleware

from backend.api import (
    audit,
    chat,
    checks,
    compared,
    comparisons,
    estimate,
    exports,
    file_preview,
    file_reports,
    file_versions,
    files,
    graders,
    health,
    jobs,
    metrics,
    models,
    people,
    preflight,
    rescore,
    rollouts,
    runs,
    seen,
    selfcheck,
    stream,
    uploads,
    usage,
    verifiers,
    webhooks,
)
from backend.api.callers import KnownCallers
from backend.api.deps import storable_body
from backend.api.errors import ErrorBody, install_error_handlers
from backend.api.feeds import Feeds
from backend.api.idempotency import Idempotency
from backend.api.metrics import CountRequests
from backend.api.middleware import BodyLimit, RequestIds
from backend.chat.caller import Caller
from backend.datasets import reading
from backend.jobs.spec import RlsdSettings
from backend.logs import configure_logs

THREADS = 100
"""Requests at work at once. Most are short; one that waits for a worker holds its thread, but no connection."""

# A request is compared with one route after another: what is asked most stands first.
RESOURCES = (
    jobs,
    runs,
    rollouts,
    files,
    uploads,
    file_preview,
    file_reports,
    file_versions,
    checks,
    graders,
    verifiers,
    selfcheck,
    models,
    chat,
    usage,
    preflight,
    estimate,
    exports,
    rescore,
    stream,
    comparisons,
    compared,
    people,
    audit,
    webhooks,
    seen,
)

DESCRIPTION = """Files, graders, jobs and models in the shapes of OpenAI's API, so that its official client works with
`base_url` and `api_key` changed. Every route under `/v1` wants a key. Errors are `{"error": {...}}` throughout."""


def create_app() -> FastAPI:
    app = FastAPIOffline(  # its documentation pages fetch nothing from elsewhere
        title="RLSD Workbench",
        version="1",
        description=DESCRIPTION,
        lifespan=_lifespan,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
        redirect_slashes=False,
    )
    app.state.feeds = Feeds()
    app.state.chat_caller = Caller()
    v1 = APIRouter(prefix="/v1", dependencies=[Depends(storable_body)])
    for resource in RESOURCES:
        v1.include_router(resource.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(v1)
    install_error_handlers(app)
    app.add_middleware(Idempotency)  # the last is met first
    app.add_middleware(KnownCallers)
    app.add_middleware(BodyLimit)
    app.add_middleware(ExceptionMiddleware, handlers=app.exception_handlers)  # what those refuse, in the one body
    app.add_middleware(CountRequests)
    app.add_middleware(RequestIds)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    configure_logs()
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    reading.warm()
    gc.freeze()  # what is loaded by now stays: not to be looked through again and again
    yield
    await app.state.feeds.close()
    await app.state.chat_caller.close()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's description, in which `x_rlsd` is spelled out; in a request it is any part of the settings."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = schema["components"]["schemas"]
        settings = RlsdSettings.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
        components.update(settings.pop("$defs", {}))
        components["RlsdSettings"] = settings
        for name in ("Reinforcement", "PreflightRequest", "TeacherPreviewRequest"):
            components[name]["properties"]["x_rlsd"] = {"$ref": "#/components/schemas/RlsdSettings"}
        app.openapi_schema = schema
    return app.openapi_schema


app = create_app()
