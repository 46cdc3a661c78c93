"""The rights of each role, by route. Routes that are not listed follow the rule in `required_role`."""

from backend.db.keys import Role
from backend.db.projects import DEFAULT_PROJECT

ADMIN_RESOURCES = ("keys", "members", "audit", "webhooks")
"""Resources under `/v1` that only admins may see or change."""
ADMINISTRATOR_RESOURCES = ("projects", "metrics")
"""Resources that only admins of the first project may see or change: they reach beyond the caller's own project."""

OPEN_TO_VIEWERS = ("/v1/chat/completions",)
"""Paths of POST requests that change nothing and are open to viewers."""

UNAUDITED_POSTS = ("/v1/files/preview", "/v1/fine_tuning/alpha/graders/validate", "/v1/fine_tuning/jobs/estimate")
"""Paths of POST requests that store nothing, so they have no entry in the audit log."""

PROTECTED_PREFIXES = ("/v1/", "/metrics")
"""Prefixes of the paths that require authentication, whether the route exists or not."""


def requires_authentication(path: str) -> bool:
    return path.startswith(PROTECTED_PREFIXES)


def is_audited(method: str, path: str) -> bool:
    return method not in ("GET", "HEAD") and path not in UNAUDITED_POSTS


def required_role(method: str, path: str) -> Role:
    """Return the lowest role that may make the request."""
    if resource_of(path) in (*ADMIN_RESOURCES, *ADMINISTRATOR_RESOURCES):
        return Role.ADMIN
    return Role.VIEWER if method in ("GET", "HEAD") or path in OPEN_TO_VIEWERS else Role.EDITOR


def is_for_server_admins(path: str) -> bool:
    return resource_of(path) in ADMINISTRATOR_RESOURCES


def is_server_admin(role: Role, *, project: str) -> bool:
    """Return whether this is an administrator of the server."""
    return role is Role.ADMIN and project == DEFAULT_PROJECT


def resource_of(path: str) -> str:
    """Return the resource of a path: `files` for `/v1/files/file-1`."""
    return path.removeprefix("/v1").strip("/").partition("/")[0]
