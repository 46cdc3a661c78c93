"""The data of Home, kept up to date by two requests per tick: the open jobs, and one of the other lists in turn.

Webhooks are read only for admins.
"""

from dataclasses import dataclass, field
from http import HTTPStatus

from frontend.api import ApiError, Client
from frontend.api.types import CheckObject, FileObject, JobObject, WebhookObject, WorkerObject
from frontend.words.job_states import ENDED, MOVING

TICK_S = 4.0
MOST = 100
"""Limit of each list, the newest first."""
ENDED_READ = 50
LISTS = ("workers", "ended", "checks", "files")
LISTS_OF_ADMINS = (*LISTS, "webhooks")


@dataclass(slots=True)
class HomeFeed:
    """The feed. `open_jobs`: queued, running or paused; `ended`: the others; `more_open`: there are more."""

    is_admin: bool = False
    open_jobs: list[JobObject] = field(default_factory=list)
    more_open: bool = False
    workers: list[WorkerObject] = field(default_factory=list)
    ended: list[JobObject] = field(default_factory=list)
    checks: list[CheckObject] = field(default_factory=list)
    files: list[FileObject] = field(default_factory=list)
    webhooks: list[WebhookObject] = field(default_factory=list)
    ticks: int = 0

    @property
    def moving(self) -> list[JobObject]:
        """The running jobs, then the queued ones."""
        return sorted(
            (job for job in self.open_jobs if job["status"] in MOVING), key=lambda job: job["status"] == "queued"
        )

    def tick(self, client: Client) -> None:
        """Read the open jobs and the next list; the first tick reads all lists."""
        page = client.jobs(limit=MOST, status=sorted(MOVING | {"paused"}))
        self.open_jobs, self.more_open = page["data"], page["has_more"]
        lists = LISTS_OF_ADMINS if self.is_admin else LISTS
        for name in lists if self.ticks == 0 else (lists[self.ticks % len(lists)],):
            self._read(client, name)
        self.ticks += 1

    def _read(self, client: Client, name: str) -> None:
        if name == "workers":
            self.workers = client.workers()
        elif name == "ended":
            self.ended = client.jobs(limit=ENDED_READ, status=sorted(ENDED))["data"]
        elif name == "checks":
            self.checks = client.checks(limit=MOST)
        elif name == "webhooks":
            self.webhooks = self._read_webhooks(client)
        else:
            self.files = client.files(limit=MOST)["data"]

    def _read_webhooks(self, client: Client) -> list[WebhookObject]:
        """Read the webhooks; none if the user is no longer an admin."""
        try:
            hooks: list[WebhookObject] = client.webhooks(after=None, limit=MOST)["data"]
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            self.is_admin, hooks = False, []
        return hooks
