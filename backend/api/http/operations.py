"""The operations of the API, and what their routes decide before a request's body is read.

A route says it with types: its signature names the caller's right, its response a secret, its dependencies the rest.
Middleware finds the operation of a request once and reads it from there, so no list of paths has to be kept.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.routing import RouteContext, iter_route_contexts
from pydantic import BaseModel
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.api.http.rights import Right, anyone

V1 = "/v1"
"""Prefix of the paths that require a key, whether the route exists or not."""
READING = frozenset(("GET", "HEAD"))


class ShowsSecret(BaseModel):
    """Base of responses with a secret, which are shown once: they are not stored to be sent again."""


@dataclass(frozen=True, slots=True)
class BodyUpTo:
    """Dependency of a route that takes larger bodies than the others."""

    limit_bytes: Callable[[], int]

    async def __call__(self) -> None: ...


async def stores_nothing() -> None:
    """Leave a POST out of the audit log. Dependency of a route that only answers."""


async def probe() -> None:
    """Leave requests out of the server's log: they come every few seconds, and would hide the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The methods of a path that share a route. `path` is its template, with names in place of ids."""

    methods: frozenset[str]
    path: str
    pattern: re.Pattern[str]
    right: Right | None
    """None: open to everyone."""
    body_limit_bytes: Callable[[], int] | None
    """None: the limit of all routes."""
    is_audited: bool
    is_logged: bool
    shows_secret: bool


def operations(routes: Sequence[BaseRoute]) -> list[Operation]:
    """Return the operations of the routes. Raises TypeError for a route that does not name its caller's right.

    `create_app` calls it once, after all routes are known; one that is added to the application later is not checked.
    """
    return [_operation(route) for route in iter_route_contexts(routes)]


def operation_of(scope: Scope) -> Operation | None:
    """Return the operation of a request; None if there is no such path, which may then be arbitrary."""
    found: Operation | None = scope.get("operation")
    return found


class FindOperation:
    """Middleware that finds the operation of each request. Where only the path exists, it is that of another method."""

    def __init__(self, app: ASGIApp, operations: Iterable[Operation]) -> None:
        self.app = app
        self._operations = tuple(operations)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["operation"] = self.find(scope["method"], scope["path"])
        await self.app(scope, receive, send)

    def find(self, method: str, path: str) -> Operation | None:
        of_path = None
        for operation in self._operations:  # in the order in which the router tries them
            if operation.pattern.match(path):
                if method in operation.methods:
                    return operation
                of_path = of_path or operation
        return of_path


def _operation(route: RouteContext) -> Operation:
    declared: list[Any] = [dependant.call for dependant in route.dependant.dependencies]
    larger = [each for each in declared if isinstance(each, BodyUpTo)]
    return Operation(
        methods=frozenset(route.methods or ()),
        path=route.path_format or "",
        pattern=route.path_regex,
        right=_right(route, declared),
        body_limit_bytes=larger[0].limit_bytes if larger else None,
        is_audited=not READING.issuperset(route.methods or ()) and stores_nothing not in declared,
        is_logged=probe not in declared,
        shows_secret=isinstance(route.response_model, type) and issubclass(route.response_model, ShowsSecret),
    )


def _right(route: RouteContext, declared: Sequence[Any]) -> Right | None:
    rights = [each for each in declared if isinstance(each, Right)]
    if len(rights) + declared.count(anyone) != 1:
        raise TypeError(
            f"{route.path}: the signature of its function must name the right of the caller once, with a type of "
            "backend.api.http.rights"
        )
    return rights[0] if rights else None
