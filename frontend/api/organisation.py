"""Keys, members, projects, the audit log, webhooks and workers."""

from typing import Any, Literal, NotRequired, TypedDict, cast
from urllib.parse import quote

from frontend.api.http import Wire
from frontend.api.types import Page

Role = Literal["viewer", "editor", "admin"]


class Quotas(TypedDict):
    """Limits of a project; None: no limit."""

    storage_bytes: int | None
    jobs_at_once: int | None
    gpu_hours: float | None


class Usage(TypedDict):
    storage_bytes: int
    jobs_at_once: int
    gpu_hours: float


class Project(TypedDict):
    id: str
    name: str
    created_at: int
    quotas: Quotas
    usage: Usage | None


class Whoami(TypedDict):
    """The caller. `id`: a key's id or an e-mail address. `identity_provider`: None if only keys can sign in."""

    id: str
    name: str
    role: Role
    project: Project
    identity_provider: str | None


class Key(TypedDict):
    """An API key. `prefix`: the first characters of the secret, which only the creating response contains."""

    id: str
    name: str
    prefix: str
    role: Role
    status: Literal["valid", "expired", "revoked"]
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None
    secret: NotRequired[str]


class Member(TypedDict):
    """A member of a project; `id` is the e-mail address."""

    id: str
    role: Role
    created_at: int


class AuditEntry(TypedDict):
    id: str
    created_at: int
    actor: str
    actor_name: str
    action: str
    objects: list[str]
    request_id: str
    address: str | None


class Delivery(TypedDict):
    """A webhook delivery. `about`: a job's id. `response_status` and `error`: of the latest attempt."""

    id: str
    type: str
    about: str
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    created_at: int
    next_at: int | None
    response_status: int | None
    error: str | None


class Webhook(TypedDict):
    id: str
    url: str
    events: list[str]
    created_at: int
    last_delivery: Delivery | None
    secret: NotRequired[str]


class Device(TypedDict):
    name: str
    memory_bytes: int


class Worker(TypedDict):
    id: str
    host: str
    queues: list[str]
    devices: list[Device]
    sandbox_level: int
    version: str
    started_at: int
    seen_at: int


class People(Wire):
    """`/v1/whoami`, `keys`, `members`, `projects`, `audit`, `webhooks`, `workers`."""

    def whoami(self) -> Whoami:
        return cast("Whoami", self.get_json("/v1/whoami"))

    def keys(self, *, after: str | None, limit: int) -> Page:
        """List keys, the newest first."""
        return cast("Page", self.get_json("/v1/keys", after=after, limit=limit))

    def create_key(self, *, name: str, role: Role, expires_in_days: int | None, project_id: str | None = None) -> Key:
        """Create a key for the caller's project, or for another (administrators only)."""
        path = "/v1/keys" if project_id is None else f"/v1/projects/{project_id}/keys"
        body: dict[str, Any] = {"name": name, "role": role, "expires_in_days": expires_in_days}
        return cast("Key", self.call("POST", path, json=body))

    def revoke_key(self, key_id: str) -> None:
        self.call("DELETE", f"/v1/keys/{key_id}")

    def members(self, *, after: str | None, limit: int) -> Page:
        """List members by address."""
        return cast("Page", self.get_json("/v1/members", after=after, limit=limit))

    def set_member(self, email: str, *, role: Role) -> Member:
        """Add a member, or change a member's role."""
        return cast("Member", self.call("POST", "/v1/members", json={"email": email, "role": role}))

    def remove_member(self, email: str) -> None:
        self.call("DELETE", f"/v1/members/{quote(email)}")

    def projects(self, *, after: str | None, limit: int) -> Page:
        """List projects, the oldest first, with their usage."""
        return cast("Page", self.get_json("/v1/projects", after=after, limit=limit))

    def create_project(self, *, name: str, quotas: Quotas) -> Project:
        return cast("Project", self.call("POST", "/v1/projects", json={"name": name, "quotas": quotas}))

    def change_project(self, project_id: str, *, name: str, quotas: Quotas) -> Project:
        return cast("Project", self.call("POST", f"/v1/projects/{project_id}", json={"name": name, "quotas": quotas}))

    def audit(self, *, after: str | None, limit: int, **filters: str | int | None) -> Page:
        """List audit entries, the newest first. `filters`: actor, action, about, since, until."""
        return cast("Page", self.get_json("/v1/audit", after=after, limit=limit, **filters))

    def webhooks(self, *, after: str | None, limit: int) -> Page:
        """List webhooks, the newest first."""
        return cast("Page", self.get_json("/v1/webhooks", after=after, limit=limit))

    def create_webhook(self, url: str, *, events: list[str]) -> Webhook:
        return cast("Webhook", self.call("POST", "/v1/webhooks", json={"url": url, "events": events}))

    def delete_webhook(self, webhook_id: str) -> None:
        self.call("DELETE", f"/v1/webhooks/{webhook_id}")

    def test_webhook(self, webhook_id: str) -> Delivery:
        """Send a test event; the deliveries contain its result."""
        return cast("Delivery", self.call("POST", f"/v1/webhooks/{webhook_id}/test"))

    def deliveries(self, webhook_id: str, *, limit: int) -> list[Delivery]:
        """List deliveries, the newest first."""
        return cast("list[Delivery]", self.get_json(f"/v1/webhooks/{webhook_id}/deliveries", limit=limit)["data"])

    def workers(self) -> list[Worker]:
        """List the live workers, the earliest started first."""
        return cast("list[Worker]", self.get_json("/v1/workers")["data"])
