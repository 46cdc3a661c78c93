"""What the page Settings says in words: roles, entries of the audit log, queues, sandbox levels, limits. No widgets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frontend.api.organisation import Delivery, Device, Quotas, Role, Usage, Worker
from frontend.words import units

GIB = 2**30
GB = 10**9
ROLES: dict[Role, str] = {
    "viewer": "looks at everything in the project, chats with its models, and changes nothing",
    "editor": "looks at everything, uploads, writes verifiers, trains and deletes",
    "admin": "does all that an editor does, and manages keys, people, webhooks and the audit log",
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
    "POST /v1/files/{file_id}/versions": "made a new version of a file",
    "POST /v1/files/{file_id}/split": "split a file",
    "POST /v1/files/{file_id}/tokens": "counted the tokens of a file",
    "POST /v1/uploads": "began an upload in parts",
    "POST /v1/uploads/{upload_id}/parts": "sent a part of an upload",
    "POST /v1/uploads/{upload_id}/complete": "completed an upload",
    "POST /v1/uploads/{upload_id}/cancel": "gave up an upload",
    "POST /v1/checks/{check_id}/cancel": "cancelled a check",
    "POST /v1/fine_tuning/alpha/graders/run": "tried a verifier",
    "POST /v1/verifiers/test": "tried a verifier",
    "POST /v1/verifiers/check": "self-checked a verifier",
    "POST /v1/verifiers": "saved a verifier",
    "POST /v1/verifiers/{verifier_id}/versions": "saved a new version of a verifier",
    "DELETE /v1/verifiers/{verifier_id}": "deleted a verifier",
    "DELETE /v1/models/{model}": "deleted a trained model",
    "POST /v1/chat/completions": "asked a model",
    "POST /v1/fine_tuning/preflight": "ran a pre-flight",
    "POST /v1/fine_tuning/teacher-preview": "looked at the teacher",
    "POST /v1/fine_tuning/jobs": "started a job",
    "DELETE /v1/fine_tuning/jobs/{job_id}": "deleted a job",
    "POST /v1/fine_tuning/jobs/{job_id}/cancel": "cancelled a job",
    "POST /v1/fine_tuning/jobs/{job_id}/pause": "paused a job",
    "POST /v1/fine_tuning/jobs/{job_id}/resume": "resumed a job",
    "POST /v1/fine_tuning/jobs/{job_id}/rescore": "scored a job again",
    "POST /v1/fine_tuning/jobs/{job_id}/exports": "asked for an export",
    "DELETE /v1/fine_tuning/jobs/{job_id}/exports/{export_id}": "deleted an export",
    "POST /v1/comparisons": "started a comparison",
    "POST /v1/comparisons/{comparison_id}/cancel": "cancelled a comparison",
    "DELETE /v1/comparisons/{comparison_id}": "deleted a comparison",
    "POST /v1/keys": "made a key",
    "DELETE /v1/keys/{key_id}": "revoked a key",
    "POST /v1/members": "let somebody in, or changed a role",
    "DELETE /v1/members/{email}": "removed a member",
    "POST /v1/projects": "made a project",
    "POST /v1/projects/{project_id}": "changed a project",
    "POST /v1/projects/{project_id}/keys": "made a key for a project",
    "POST /v1/webhooks": "made a webhook",
    "DELETE /v1/webhooks/{webhook_id}": "deleted a webhook",
    "POST /v1/webhooks/{webhook_id}/test": "tested a webhook",
}
TOPICS = {
    "Keys": "/v1/keys",
    "People": "/v1/members",
    "Projects": "/v1/projects",
    "Files": "/v1/files",
    "Uploads in parts": "/v1/uploads",
    "Verifiers": "/v1/verifiers",
    "Jobs": "/v1/fine_tuning/jobs",
    "Comparisons": "/v1/comparisons",
    "Models": "/v1/models",
    "Webhooks": "/v1/webhooks",
    "Everything deleted": "DELETE ",
}
"""What the audit log is narrowed to -> the words in its actions."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One kind of work, who does it, and what stands still while nobody does."""

    name: str
    title: str
    without: str


QUEUES = (
    Queue("train", "Training", "Jobs wait until a worker comes."),
    Queue("check", "Files and checks", "Files are not read, verifiers cannot be tried, webhooks are not sent."),
    Queue("sample", "Samples of models", "Pre-flight, teacher preview and self-checks on samples wait."),
    Queue("chat", "Playground and chat", "Models cannot be asked."),
)


def action(said: str) -> str:
    """`DELETE /v1/files/{file_id}` as a sentence's end; what is not known stays as it is."""
    return ACTIONS.get(said, said)


def delivery(found: Delivery) -> str:
    """How it stands."""
    if found["status"] == "delivered":
        return "delivered"
    if found["status"] == "failed":
        return f"given up after {units.count(found['attempts'], 'try', 'tries')}"
    return "on its way" if found["attempts"] == 0 else "is tried again"


def event(name: str) -> str:
    return "test" if name == TEST_EVENT else EVENTS.get(name, name)


def gpus(devices: Sequence[Device]) -> str:
    """`2 × NVIDIA H200 (140 GiB each)`, a kind after another."""
    if not devices:
        return "No NVIDIA GPU seen: models run on the processor, which is slow for all but small ones."
    kinds: dict[tuple[str, int], int] = {}
    for device in devices:
        kind = (device["name"], round(device["memory_bytes"] / GIB))
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(
        f"{name} ({gib} GiB)" if number == 1 else f"{number} × {name} ({gib} GiB each)"
        for (name, gib), number in kinds.items()
    )


def sandbox(workers: Sequence[Worker]) -> str | None:
    """How a machine keeps users' code in; None where its workers run none (those that only chat)."""
    levels = [worker["sandbox_level"] for worker in workers if worker["queues"] != ["chat"]]
    if not levels:
        return None
    level = min(levels)
    if level == 0:
        return "Sandbox level 0: Python verifiers are refused here, since nothing would hold them; all others work."
    if level == 1:
        return "Sandbox level 1: Python verifiers may use few system calls and no files."
    return f"Sandbox level {level}: Python verifiers see no files, no network and no other program."


def nobody(workers: Sequence[Worker]) -> list[Queue]:
    """The queues that no worker takes from."""
    served = {queue for worker in workers for queue in worker["queues"]}
    return [queue for queue in QUEUES if queue.name not in served]


@dataclass(frozen=True, slots=True)
class Used:
    """One line of a project's quotas; `share` of the limit, None where there is none."""

    title: str
    text: str
    share: float | None

    @property
    def full(self) -> bool:
        return self.share is not None and self.share >= 1


def used(usage: Usage, quotas: Quotas) -> list[Used]:
    """Storage, jobs and hours, each against its limit."""
    return [
        _used("Storage", usage["storage_bytes"], quotas.get("storage_bytes"), units.size),
        _used("Jobs at once", usage["jobs_at_once"], quotas.get("jobs_at_once"), lambda jobs: f"{jobs:,.0f}"),
        _used("GPU hours", usage["gpu_hours"], quotas.get("gpu_hours"), lambda hours: f"{hours:,.1f} h"),
    ]


def _used(title: str, value: float, limit: float | None, said: Callable[[float], str]) -> Used:
    if limit is None:
        return Used(title=title, text=f"{said(value)}, not limited", share=None)
    return Used(title=title, text=f"{said(value)} of {said(limit)}", share=value / limit if limit else 1.0)
