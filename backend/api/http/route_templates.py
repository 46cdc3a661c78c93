"""The path template of a request's route, with parameter names in place of values."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import Scope


def route_template(scope: Scope) -> str | None:
    """Return the template, or None if no route matched: the path may then be arbitrary."""
    endpoint = scope.get("endpoint")
    return None if endpoint is None else _templates(scope["app"]).get(endpoint)


@lru_cache(maxsize=4)
def _templates(app: FastAPI) -> dict[Callable[..., Any] | None, str | None]:
    return {route.endpoint: route.path_format for route in iter_route_contexts(app.routes)}
