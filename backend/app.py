"""The ASGI application, `backend.app:app`. It serves HTTP only; training and users' code run in workers."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from pydantic import TypeAdapter
from starlette.middleware.exceptions import ExceptionMiddleware

from backend.api import chat, checks, models
from backend.api.comparisons import rollouts as comparison_rollouts
from backend.api.comparisons import routes as comparisons
from backend.api.files import preview, reports, uploads, versions
from backend.api.files import routes as files
from backend.api.http.bodies import require_storable_body
from backend.api.http.errors import ErrorBody, install_error_handlers
from backend.api.http.idempotency import Idempotency
from backend.api.http.middleware import Authentication, BodyLimit, RequestIds
from backend.api.http.operations import V1, FindOperation, operations
from backend.api.jobs import estimate, exports, preflight, rescore, rollouts, runs
from backend.api.jobs import routes as jobs
from backend.api.jobs.job_object import SelfCheckResult
from backend.api.jobs.stream import routes as stream
from backend.api.jobs.stream.feeds import Feeds
from backend.api.operations import health, metrics
from backend.api.operations.metrics import CountRequests, Metrics
from backend.api.organisation import audit, keys, members, projects, usage, webhooks, workers
from backend.api.verifiers import graders, instructions, self_check
from backend.api.verifiers import routes as verifiers
from backend.chat.client import ChatClient
from backend.chat.response_objects import Chunk
from backend.comparisons.cache import AnalysisCache
from backend.core.hints import HintFacts
from backend.core.settings.spec import PresetFacts, RlsdSettings, method_schema
from backend.datasets.reading import background
from backend.stack.logs import configure_logs

ANALYSES = 200
"""Analyses of comparisons that are kept in memory."""
THREADS = 100
"""Requests handled at once. Most are short; one that waits for a worker holds its thread, but no connection."""

# Routes are matched in order: the most requested come first.
RESOURCES = (
    jobs,
    runs,
    rollouts,
    files,
    uploads,
    preview,
    reports,
    versions,
    checks,
    graders,
    verifiers,
    instructions,
    self_check,
    models,
    chat,
    usage,
    preflight,
    estimate,
    exports,
    rescore,
    stream,
    comparisons,
    comparison_rollouts,
    keys,
    members,
    projects,
    audit,
    webhooks,
    workers,
)

TAGS = {
    "files": "Datasets on a server.",
    "uploads": "Large files in parts.",
    "jobs": "Training runs on a server.",
    "checks": "Background checks, such as pre-flights.",
    "graders": "Graders that are not saved.",
    "verifiers": "Saved verifiers and their versions.",
    "models": "Base models and fine-tuned models.",
    "chat": "Completions of conversations.",
    "comparisons": "Training methods compared over seeds.",
    "keys": "API keys.",
    "members": "People who may sign in through the identity provider.",
    "projects": "Projects and their quotas.",
    "audit": "The audit log of the project.",
    "webhooks": "URLs that are notified when a job has ended.",
    "server": "The server and its usage.",
}
"""Groups of routes. Each is also a family of commands, `rlsd files …`."""

DESCRIPTION = """Files, graders, jobs and models in the shapes of OpenAI's API, so that its official client works with
`base_url` and `api_key` changed. Every route under `/v1` requires an API key. Every error has the body
`{"error": {...}}`."""


COMPONENT = "#/components/schemas/{model}"
DESCRIBED: tuple[type[Any], ...] = (RlsdSettings, SelfCheckResult, Chunk, PresetFacts, HintFacts)
"""Models of what requests and responses hold as plain JSON or as text."""


def create_app() -> FastAPI:
    app = FastAPIOffline(  # serves the assets of the documentation pages itself
        title="RLSD Workbench",
        version="1",
        description=DESCRIPTION,
        openapi_tags=[{"name": name, "description": description} for name, description in TAGS.items()],
        lifespan=_lifespan,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
        redirect_slashes=False,
    )
    documentation = [*app.routes]
    app.state.feeds = Feeds()
    app.state.chat_client = ChatClient()
    app.state.metrics = Metrics()
    app.state.analyses = AnalysisCache(max_size=ANALYSES)
    v1 = APIRouter(prefix=V1, dependencies=[Depends(require_storable_body)])
    for resource in RESOURCES:
        v1.include_router(resource.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(v1)
    app.state.operations = operations([route for route in app.routes if route not in documentation])
    install_error_handlers(app)
    app.add_middleware(Idempotency)  # middleware added last runs first
    app.add_middleware(Authentication)
    app.add_middleware(BodyLimit)
    app.add_middleware(ExceptionMiddleware, handlers=app.exception_handlers)  # errors raised by the middleware above
    app.add_middleware(CountRequests, metrics=app.state.metrics)
    app.add_middleware(RequestIds)
    app.add_middleware(FindOperation, operations=app.state.operations)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    configure_logs()
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    background.warm()
    gc.freeze()  # modules loaded so far are permanent: exclude them from garbage collection
    yield
    await app.state.feeds.close()
    await app.state.chat_client.close()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return FastAPI's schema, with what its models hold as plain JSON described in full.

    A request may set any part of `x_rlsd`. A self-check's result is stored JSON, and chat streams chunks as text.
    """
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        components = schema["components"]["schemas"]
        described = {
            model.__name__: TypeAdapter(model).json_schema(by_alias=True, ref_template=COMPONENT) for model in DESCRIBED
        }
        for name, each in {**described, "Method": method_schema(COMPONENT)}.items():
            components.update({**each.pop("$defs", {}), **components, name: each})
        for name in ("Reinforcement", "PreflightRequest", "TeacherPreviewRequest"):
            components[name]["properties"]["x_rlsd"] = {"$ref": COMPONENT.format(model="RlsdSettings")}
        self_check = {"anyOf": [{"$ref": COMPONENT.format(model="SelfCheckResult")}, {"type": "null"}]}
        components["JobChecksInFull"]["properties"]["self_check"] = self_check
        app.openapi_schema = schema
    return app.openapi_schema


app = create_app()
