"""Who may what: the one table of rights. A route that is not named here follows the rule at the end."""

from backend.db.keys import Role
from backend.db.projects import DEFAULT_PROJECT

ADMIN_RESOURCES = ("keys", "members", "audit", "webhooks", "projects")
"""First parts of the paths under `/v1` that only admins may see or change."""
ADMINISTRATOR_RESOURCES = ("projects",)
"""Those that only admins of the first project may: they reach beyond the caller's own project."""


def needed_role(method: str, path: str) -> Role:
    """The least role for a request."""
    if path.split("/")[2] in ADMIN_RESOURCES:
        return Role.ADMIN
    return Role.VIEWER if method in ("GET", "HEAD") else Role.EDITOR


def is_administrators(path: str) -> bool:
    return path.split("/")[2] in ADMINISTRATOR_RESOURCES


def administers(role: Role, *, project: str) -> bool:
    """Whether this is an administrator of the server."""
    return role is Role.ADMIN and project == DEFAULT_PROJECT
