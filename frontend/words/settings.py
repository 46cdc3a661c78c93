"""Texts of the Settings page: roles, audit log entries, queues, sandbox levels, limits. No widgets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frontend.api.types import DeliveryObject, Device, Quotas, Role, Usage, WorkerObject
from frontend.words import units

GIB = 2**30
GB = 10**9
ROLES: dict[Role, str] = {
    "viewer": "can view everything in the project and chat with its models, but change nothing",
    "editor": "can view everything, upload data, write verifiers, train and delete",
    "admin": "can do everything that an editor can, and manage keys, people, webhooks and the audit log",
}
EVENTS = {
    "fine_tuning.job.succeeded": "a job succeeded",
    "fine_tuning.job.failed": "a job failed",
    "fine_tuning.job.cancelled": "a job was cancelled",
}
TEST_EVENT = "webhook.test"
ACTIONS = {
    "POST /v1/files": "uploaded a file",
    "DELETE /v1/files/{file_id}": "deleted a file",
    "POST /v1/files/{file_id}/versions": "created a new version of a file",
    "POST /v1/files/{file_id}/split": "split a file",
    "POST /v1/files/{file_id}/tokens": "counted the tokens of a file",
    "POST /v1/uploads": "started a multipart upload",
    "POST /v1/uploads/{upload_id}/parts": "uploaded a part",
    "POST /v1/uploads/{upload_id}/complete": "completed an upload",
    "POST /v1/uploads/{upload_id}/cancel": "cancelled an upload",
    "POST /v1/checks/{check_id}/cancel": "cancelled a check",
    "POST /v1/fine_tuning/alpha/graders/run": "tested a verifier",
    "POST /v1/verifiers/test": "tested a verifier",
    "POST /v1/verifiers/check": "self-checked a verifier",
    "POST /v1/verifiers": "saved a verifier",
    "POST /v1/verifiers/{verifier_id}/versions": "saved a new version of a verifier",
    "DELETE /v1/verifiers/{verifier_id}": "deleted a verifier",
    "POST /v1/models/fetch": "let a base model be fetched",
    "DELETE /v1/models/{model}": "deleted a trained model",
    "POST /v1/chat/completions": "sent a question to a model",
    "POST /v1/fine_tuning/preflight": "ran a pre-flight",
    "POST /v1/fine_tuning/teacher-preview": "previewed the teacher's prompts",
    "POST /v1/fine_tuning/jobs": "started a job",
    "DELETE /v1/fine_tuning/jobs/{job_id}": "deleted a job",
    "POST /v1/fine_tuning/jobs/{job_id}/cancel": "cancelled a job",
    "POST /v1/fine_tuning/jobs/{job_id}/pause": "paused a job",
    "POST /v1/fine_tuning/jobs/{job_id}/resume": "resumed a job",
    "POST /v1/fine_tuning/jobs/{job_id}/rescore": "re-scored a job",
    "POST /v1/fine_tuning/jobs/{job_id}/exports": "requested an export",
    "DELETE /v1/fine_tuning/jobs/{job_id}/exports/{export_id}": "deleted an export",
    "POST /v1/comparisons": "started a comparison",
    "POST /v1/comparisons/{comparison_id}/cancel": "cancelled a comparison",
    "DELETE /v1/comparisons/{comparison_id}": "deleted a comparison",
    "POST /v1/keys": "created a key",
    "DELETE /v1/keys/{key_id}": "revoked a key",
    "POST /v1/members": "added a member or changed a role",
    "DELETE /v1/members/{email}": "removed a member",
    "POST /v1/projects": "created a project",
    "POST /v1/projects/{project_id}": "changed a project",
    "POST /v1/projects/{project_id}/keys": "created a key for a project",
    "POST /v1/webhooks": "created a webhook",
    "DELETE /v1/webhooks/{webhook_id}": "deleted a webhook",
    "POST /v1/webhooks/{webhook_id}/test": "tested a webhook",
}
TOPICS = {
    "Keys": "/v1/keys",
    "People": "/v1/members",
    "Projects": "/v1/projects",
    "Files": "/v1/files",
    "Multipart uploads": "/v1/uploads",
    "Verifiers": "/v1/verifiers",
    "Jobs": "/v1/fine_tuning/jobs",
    "Comparisons": "/v1/comparisons",
    "Models": "/v1/models",
    "Webhooks": "/v1/webhooks",
    "Deletions": "DELETE ",
}
"""Filters of the audit log -> the text that its actions contain."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A work queue, and what stops while no worker serves it."""

    name: str
    title: str
    consequence: str


QUEUES = (
    Queue("train", "Training", "Jobs wait until a worker starts."),
    Queue("check", "Files and checks", "Files are not read, verifiers cannot be tested, webhooks are not sent."),
    Queue("sample", "Sampling", "Pre-flights, teacher previews and self-checks on samples wait."),
    Queue("chat", "Playground and chat", "Models cannot answer."),
)


def action(name: str) -> str:
    """Describe an action such as `DELETE /v1/files/{file_id}`; an unknown one stays as it is."""
    return ACTIONS.get(name, name)


def delivery(found: DeliveryObject) -> str:
    """Describe the state of a delivery."""
    if found["status"] == "delivered":
        return "delivered"
    if found["status"] == "failed":
        return f"failed after {units.count(found['attempts'], 'try', 'tries')}"
    return "pending" if found["attempts"] == 0 else "being retried"


def event(name: str) -> str:
    return "test" if name == TEST_EVENT else EVENTS.get(name, name)


def gpus(devices: Sequence[Device]) -> str:
    """List GPUs by kind: `2 × NVIDIA H200 (140 GiB each)`."""
    if not devices:
        return "No NVIDIA GPU found: models run on the CPU, which is slow for all but small ones."
    kinds: dict[tuple[str, int], int] = {}
    for device in devices:
        kind = (device["name"], round(device["memory_bytes"] / GIB))
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(
        f"{name} ({gib} GiB)" if number == 1 else f"{number} × {name} ({gib} GiB each)"
        for (name, gib), number in kinds.items()
    )


def sandbox(workers: Sequence[WorkerObject]) -> str | None:
    """Describe how a machine isolates users' code; None if its workers run none (chat only)."""
    levels = [worker["sandbox_level"] for worker in workers if worker["queues"] != ["chat"]]
    if not levels:
        return None
    level = min(levels)
    if level == 0:
        return "Sandbox level 0 of 2: Python verifiers are refused, since they could not be isolated; all others work."
    if level == 1:
        return "Sandbox level 1 of 2: Python verifiers can use only a few system calls and no files."
    return "Sandbox level 2 of 2: Python verifiers have no access to files, the network or other processes."


def unserved_queues(workers: Sequence[WorkerObject]) -> list[Queue]:
    """Return the queues that no worker serves."""
    served = {queue for worker in workers for queue in worker["queues"]}
    return [queue for queue in QUEUES if queue.name not in served]


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """One line of a project's quotas. `share` of the limit; None without a limit."""

    title: str
    text: str
    share: float | None

    @property
    def full(self) -> bool:
        return self.share is not None and self.share >= 1


def quota_uses(usage: Usage, quotas: Quotas) -> list[QuotaUse]:
    """Compare storage, jobs and hours with their limits."""
    return [
        _quota_use("Storage", usage["storage_bytes"], quotas.get("storage_bytes"), units.size),
        _quota_use("Concurrent jobs", usage["jobs_at_once"], quotas.get("jobs_at_once"), lambda jobs: f"{jobs:,.0f}"),
        _quota_use("Device hours", usage["gpu_hours"], quotas.get("gpu_hours"), lambda hours: f"{hours:,.1f} h"),
    ]


def _quota_use(title: str, value: float, limit: float | None, in_words: Callable[[float], str]) -> QuotaUse:
    if limit is None:
        return QuotaUse(title=title, text=f"{in_words(value)}, no limit", share=None)
    return QuotaUse(title=title, text=f"{in_words(value)} of {in_words(limit)}", share=value / limit if limit else 1.0)
