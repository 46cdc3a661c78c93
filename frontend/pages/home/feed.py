"""What Home shows, kept up to date by two requests a tick: the jobs that are not over, and one of the rest in turn.

Webhooks are there for those who manage them.
"""

from dataclasses import dataclass, field
from http import HTTPStatus

from frontend.api import ApiError, Client
from frontend.api.organisation import Webhook, Worker
from frontend.api.types import Check, DataFile, Job
from frontend.words.job_states import ENDED, MOVING

TICK_S = 4.0
MOST = 100
"""Of each list, the newest."""
ENDED_READ = 50
PARTS = ("workers", "ended", "checks", "files")
PARTS_OF_ADMINS = (*PARTS, "webhooks")


@dataclass(slots=True)
class HomeFeed:
    """`open_jobs` move or are paused, `ended` are the others; `more_open`: there are more than were read."""

    is_admin: bool = False
    open_jobs: list[Job] = field(default_factory=list)
    more_open: bool = False
    workers: list[Worker] = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    files: list[DataFile] = field(default_factory=list)
    webhooks: list[Webhook] = field(default_factory=list)
    ticks: int = 0

    @property
    def moving(self) -> list[Job]:
        """Those that a worker has, before those that wait for one."""
        return sorted(
            (job for job in self.open_jobs if job["status"] in MOVING), key=lambda job: job["status"] == "queued"
        )

    def tick(self, client: Client) -> None:
        """The first one reads everything."""
        page = client.jobs(limit=MOST, status=sorted(MOVING | {"paused"}))
        self.open_jobs, self.more_open = page["data"], page["has_more"]
        parts = PARTS_OF_ADMINS if self.is_admin else PARTS
        for part in parts if self.ticks == 0 else (parts[self.ticks % len(parts)],):
            self._read(client, part)
        self.ticks += 1

    def _read(self, client: Client, part: str) -> None:
        if part == "workers":
            self.workers = client.workers()
        elif part == "ended":
            self.ended = client.jobs(limit=ENDED_READ, status=sorted(ENDED))["data"]
        elif part == "checks":
            self.checks = client.checks(limit=MOST)
        elif part == "webhooks":
            self.webhooks = self._managed(client)
        else:
            self.files = client.files(limit=MOST)["data"]

    def _managed(self, client: Client) -> list[Webhook]:
        """None any more for somebody who was an admin when the page was opened."""
        try:
            hooks: list[Webhook] = client.webhooks(after=None, limit=MOST)["data"]
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            self.is_admin, hooks = False, []
        return hooks
