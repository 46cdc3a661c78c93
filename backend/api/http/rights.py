"""Who may what: the one table of rights. A route that is not named here follows the rule at the end."""

from backend.db.keys import Role
from backend.db.projects import DEFAULT_PROJECT

ADMIN_RESOURCES = ("keys", "members", "audit", "webhooks")
"""First parts of the paths under `/v1` that only admins may see or change."""
ADMINISTRATOR_RESOURCES = ("projects", "metrics")
"""Those that only admins of the first project may: they reach beyond the caller's own project."""

OPEN_TO_VIEWERS = ("/v1/chat/completions",)
"""Paths of POST requests that change nothing."""

ONLY_TOLD = ("/v1/files/preview", "/v1/fine_tuning/alpha/graders/validate", "/v1/fine_tuning/jobs/estimate")
"""Paths of POST requests that are told something and leave nothing behind: no entry in the audit log."""

CLOSED = ("/v1/", "/metrics")
"""Beginnings of the paths that answer known callers alone, be there such a route or not."""


def wants_caller(path: str) -> bool:
    return path.startswith(CLOSED)


def is_audited(method: str, path: str) -> bool:
    return method not in ("GET", "HEAD") and path not in ONLY_TOLD


def needed_role(method: str, path: str) -> Role:
    """The least role for a request."""
    if resource_of(path) in (*ADMIN_RESOURCES, *ADMINISTRATOR_RESOURCES):
        return Role.ADMIN
    return Role.VIEWER if method in ("GET", "HEAD") or path in OPEN_TO_VIEWERS else Role.EDITOR


def is_administrators(path: str) -> bool:
    return resource_of(path) in ADMINISTRATOR_RESOURCES


def administers(role: Role, *, project: str) -> bool:
    """Whether this is an administrator of the server."""
    return role is Role.ADMIN and project == DEFAULT_PROJECT


def resource_of(path: str) -> str:
    """What a path is about: `files` of `/v1/files/file-1`."""
    return path.removeprefix("/v1").strip("/").partition("/")[0]
