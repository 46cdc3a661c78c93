"""Keys, members, projects, the audit log, webhooks and workers."""

from typing import Any, cast

from frontend.api.http import Wire, segment
from frontend.api.types import (
    AuditObject,
    DeliveryObject,
    KeyObject,
    MemberObject,
    NewKey,
    NewWebhook,
    Page,
    ProjectObject,
    Quotas,
    Role,
    WebhookObject,
    Whoami,
    WorkerObject,
)


class People(Wire):
    """`/v1/whoami`, `keys`, `members`, `projects`, `audit`, `webhooks`, `workers`."""

    def whoami(self) -> Whoami:
        return cast("Whoami", self.get_json("/v1/whoami"))

    def keys(self, *, after: str | None, limit: int) -> Page[KeyObject]:
        """List keys, the newest first."""
        return cast("Page[KeyObject]", self.get_json("/v1/keys", after=after, limit=limit))

    def create_key(
        self, *, name: str, role: Role, expires_in_days: int | None, project_id: str | None = None
    ) -> NewKey:
        """Create a key for the caller's project, or for another (administrators only)."""
        path = "/v1/keys" if project_id is None else f"/v1/projects/{segment(project_id)}/keys"
        body: dict[str, Any] = {"name": name, "role": role, "expires_in_days": expires_in_days}
        return cast("NewKey", self.call("POST", path, json=body))

    def revoke_key(self, key_id: str) -> None:
        self.call("DELETE", f"/v1/keys/{segment(key_id)}")

    def members(self, *, after: str | None, limit: int) -> Page[MemberObject]:
        """List members by address."""
        return cast("Page[MemberObject]", self.get_json("/v1/members", after=after, limit=limit))

    def set_member(self, email: str, *, role: Role) -> MemberObject:
        """Add a member, or change a member's role."""
        return cast("MemberObject", self.call("POST", "/v1/members", json={"email": email, "role": role}))

    def remove_member(self, email: str) -> None:
        self.call("DELETE", f"/v1/members/{segment(email)}")

    def projects(self, *, after: str | None, limit: int) -> Page[ProjectObject]:
        """List projects, the oldest first, with their usage."""
        return cast("Page[ProjectObject]", self.get_json("/v1/projects", after=after, limit=limit))

    def create_project(self, *, name: str, quotas: Quotas) -> ProjectObject:
        return cast("ProjectObject", self.call("POST", "/v1/projects", json={"name": name, "quotas": quotas}))

    def change_project(self, project_id: str, *, name: str, quotas: Quotas) -> ProjectObject:
        return cast(
            "ProjectObject",
            self.call("POST", f"/v1/projects/{segment(project_id)}", json={"name": name, "quotas": quotas}),
        )

    def audit(self, *, after: str | None, limit: int, **filters: str | int | None) -> Page[AuditObject]:
        """List audit entries, the newest first. `filters`: actor, action, about, since, until."""
        return cast("Page[AuditObject]", self.get_json("/v1/audit", after=after, limit=limit, **filters))

    def webhooks(self, *, after: str | None, limit: int) -> Page[WebhookObject]:
        """List webhooks, the newest first."""
        return cast("Page[WebhookObject]", self.get_json("/v1/webhooks", after=after, limit=limit))

    def create_webhook(self, url: str, *, events: list[str]) -> NewWebhook:
        return cast("NewWebhook", self.call("POST", "/v1/webhooks", json={"url": url, "events": events}))

    def delete_webhook(self, webhook_id: str) -> None:
        self.call("DELETE", f"/v1/webhooks/{segment(webhook_id)}")

    def test_webhook(self, webhook_id: str) -> DeliveryObject:
        """Send a test event; the deliveries contain its result."""
        return cast("DeliveryObject", self.call("POST", f"/v1/webhooks/{segment(webhook_id)}/test"))

    def deliveries(self, webhook_id: str, *, limit: int) -> list[DeliveryObject]:
        """List deliveries, the newest first."""
        return cast(
            "list[DeliveryObject]", self.get_json(f"/v1/webhooks/{segment(webhook_id)}/deliveries", limit=limit)["data"]
        )

    def workers(self) -> list[WorkerObject]:
        """List the live workers, the earliest started first."""
        return cast("list[WorkerObject]", self.get_json("/v1/workers")["data"])
