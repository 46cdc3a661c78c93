"""What the Job page shows, kept up to date by at most one request a tick.

Opening a page reads everything once. After that each tick asks for the thing most likely to have changed: new steps
while the job runs, now and then its state, events and evaluations. A state that changed is followed by all the rest;
the end by all of it at once, so that nothing is missing beside the word "Done".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from frontend.api import Client
from frontend.api.types import Evaluation, Event, Job, Metrics, Page
from frontend.words.job_states import ENDED

TICK_S = 2.0
STATE_EVERY = 4
EVENTS_EVERY = 9
STEPS_A_REQUEST = 1000
PACE_STEPS = 10
"""The newest steps by which the pace is told: the median of their times, which one odd step does not move."""


@dataclass(slots=True)
class JobFeed:
    """One job as last seen. `left_to_ask` are requests that are due, the next one last."""

    job: Job
    metrics: list[Metrics] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    """The newest ones."""
    older_events: bool = False
    """There are some before those."""
    evaluations: list[Evaluation] = field(default_factory=list)
    ticks: int = 0
    left_to_ask: list[str] = field(default_factory=list)
    owed: int = 0
    """Requests that a part of the page made by itself; as many ticks make none."""
    asked: bool = False
    """The last tick made a request."""

    @classmethod
    def open(cls, client: Client, job_id: str) -> "JobFeed":
        feed = cls(job=client.job(job_id))
        feed._read_events(client)
        feed.evaluations = client.evaluations(job_id)
        while feed.read_steps(client):
            pass
        return feed

    @property
    def job_id(self) -> str:
        return self.job["id"]

    @property
    def ended(self) -> bool:
        return self.job["status"] in ENDED

    @property
    def settled(self) -> bool:
        """Nothing more will change."""
        return self.ended and not self.left_to_ask

    @property
    def last_step_read(self) -> int:
        return self.metrics[-1]["step"] if self.metrics else 0

    @property
    def step(self) -> int:
        return max(self.last_step_read, self.job["x_progress"]["step"])

    @property
    def max_steps(self) -> int:
        return self.job["x_progress"]["max_steps"]

    def tick(self, client: Client) -> None:
        """Make one request, or none once everything is settled."""
        self.asked = not self.settled and not self.owed
        if self.settled:
            return
        if self.owed:
            self.owed -= 1
            return
        self.ticks += 1
        self._ask(client, self._due())
        while self.ended and self.left_to_ask:
            self._ask(client, self.left_to_ask.pop())

    def enter(self) -> None:
        """Somebody comes back to the page: its next tick asks for the job, which may have ended meanwhile."""
        if not self.settled:
            self.owed = 0
            self.left_to_ask.append("job")

    def refresh_state(self, client: Client) -> None:
        self._ask(client, "job")

    def read_steps(self, client: Client) -> bool:
        """Fetch steps after the last one known. True: there are more to fetch."""
        last = str(self.metrics[-1]["step"]) if self.metrics else None
        page: Page = client.metrics(self.job_id, after=last, limit=STEPS_A_REQUEST)
        self.metrics.extend(page["data"])
        return page["has_more"]

    def _due(self) -> str:
        if self.left_to_ask:
            return self.left_to_ask.pop()
        if self.job["status"] not in ("running", "pausing") or self.ticks % STATE_EVERY == 0:
            return "job"
        if self.last_step_read >= self.max_steps:
            return "job"
        return "events" if self.ticks % EVENTS_EVERY == 0 else "metrics"

    def _ask(self, client: Client, what: str) -> None:
        if what == "job":
            before = self.job["status"]
            self.job = client.job(self.job_id)
            if self.job["status"] != before:
                self.left_to_ask = ["events", "evaluations", "metrics"]
        elif what == "events":
            known = self.events[0]["id"] if self.events else None
            self._read_events(client)
            if self.events and self.events[0]["id"] != known and "evaluations" not in self.left_to_ask:
                self.left_to_ask.insert(0, "evaluations")
        elif what == "evaluations":
            self.evaluations = client.evaluations(self.job_id)
        else:
            self.read_steps(client)

    def _read_events(self, client: Client) -> None:
        page = client.events(self.job_id)
        self.events, self.older_events = page["data"], page["has_more"]


def pace_s(metrics: Sequence[Metrics]) -> float | None:
    """What a step takes now; None before the first."""
    known = [seconds for m in metrics[-PACE_STEPS:] if (seconds := m["values"].get("step_s")) is not None]
    return median(known) if known else None


def seconds_left(feed: JobFeed) -> float | None:
    """The API's estimate, shortened by the steps taken since it was given; until it has one, by the pace."""
    progress = feed.job["x_progress"]
    left, left_then = max(progress["max_steps"] - feed.step, 0), progress["max_steps"] - progress["step"]
    if progress["eta_s"] is not None and left_then > 0:
        return progress["eta_s"] * left / left_then
    pace = pace_s(feed.metrics)
    return None if pace is None else pace * left
