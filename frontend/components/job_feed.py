"""The data of the Job page, kept up to date by at most one request per tick.

Opening a page reads everything once. After that each tick reads what is most likely to have changed: new steps while
the job runs, at intervals its state, events and evaluations. A changed state is followed by everything else, over the
next ticks; at the end at once, so that nothing is missing when the state is "Done".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from frontend.api import Client
from frontend.api.types import EvaluationObject, EventObject, JobObject, StepMetrics
from frontend.words.job_states import ENDED

TICK_S = 2.0
STATE_EVERY = 4
EVENTS_EVERY = 9
STEPS_A_REQUEST = 1000
PACE_STEPS = 10
"""The newest steps whose median time is the pace; a median ignores single outliers."""


@dataclass(slots=True)
class JobFeed:
    """One job as last read. `pending`: reads that are due, the next one last."""

    job: JobObject
    metrics: list[StepMetrics] = field(default_factory=list)
    events: list[EventObject] = field(default_factory=list)
    """The newest events."""
    older_events: bool = False
    """Whether there are older events."""
    evaluations: list[EvaluationObject] = field(default_factory=list)
    ticks: int = 0
    pending: list[str] = field(default_factory=list)
    ticks_to_skip: int = 0
    """Requests that a tab of the page made itself; as many ticks make none."""
    made_request: bool = False
    """Whether the last tick made a request."""

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

    def awaited(self, what: str, *, after: str) -> str:
        """Say when something appears, or that the job has ended without it."""
        return f"The job ended before there were {what.lower()}." if self.ended else f"{what} appear after {after}."

    @property
    def settled(self) -> bool:
        """Whether nothing will change any more."""
        return self.ended and not self.pending

    @property
    def last_step_read(self) -> int:
        return self.metrics[-1]["step"] if self.metrics else 0

    @property
    def step(self) -> int:
        return max(self.last_step_read, self.job["x_progress"]["step"])

    @property
    def max_steps(self) -> int:
        return self.job["x_progress"]["max_steps"]

    @property
    def warm_steps(self) -> int:
        """Steps of the warm start, the first of `max_steps`."""
        return self.job["x_progress"]["warm_steps"]

    @property
    def has_completions(self) -> bool:
        """Whether any step has sampled completions: those of imitation do not."""
        return any(step["values"].get("target_tokens") is None for step in self.metrics)

    def tick(self, client: Client) -> None:
        """Make one request, or none once the feed is settled."""
        self.made_request = not self.settled and not self.ticks_to_skip
        if self.settled:
            return
        if self.ticks_to_skip:
            self.ticks_to_skip -= 1
            return
        self.ticks += 1
        self._read(client, self._next())
        while self.ended and self.pending:
            self._read(client, self.pending.pop())

    def reopen(self) -> None:
        """Read the job with the next tick, since it may have ended while the page was closed."""
        if not self.settled:
            self.ticks_to_skip = 0
            self.pending.append("job")

    def refresh_state(self, client: Client) -> None:
        """Read the job, and the events, which say what was requested."""
        self._read(client, "job")
        self._read(client, "events")

    def read_steps(self, client: Client) -> bool:
        """Read the steps after the last known one. True if there are more."""
        last = str(self.metrics[-1]["step"]) if self.metrics else None
        page = client.metrics(self.job_id, after=last, limit=STEPS_A_REQUEST)
        self.metrics.extend(page["data"])
        return page["has_more"]

    def _next(self) -> str:
        if self.pending:
            return self.pending.pop()
        if self.job["status"] not in ("running", "pausing") or self.ticks % STATE_EVERY == 0:
            return "job"
        if self.last_step_read >= self.max_steps:
            return "job"
        return "events" if self.ticks % EVENTS_EVERY == 0 else "metrics"

    def _read(self, client: Client, what: str) -> None:
        if what == "job":
            before = self.job["status"]
            self.job = client.job(self.job_id)
            if self.job["status"] != before:
                self.pending = ["events", "evaluations", "metrics"]
        elif what == "events":
            known = self.events[0]["id"] if self.events else None
            self._read_events(client)
            if self.events and self.events[0]["id"] != known and "evaluations" not in self.pending:
                self.pending.insert(0, "evaluations")
        elif what == "evaluations":
            self.evaluations = client.evaluations(self.job_id)
        else:
            self.read_steps(client)

    def _read_events(self, client: Client) -> None:
        page = client.events(self.job_id)
        self.events, self.older_events = page["data"], page["has_more"]


def pace_s(metrics: Sequence[StepMetrics]) -> float | None:
    """Return the current time per step; None before the first step."""
    known = [seconds for m in metrics[-PACE_STEPS:] if (seconds := m["values"].get("step_s")) is not None]
    return median(known) if known else None


def seconds_left(feed: JobFeed) -> float | None:
    """Return the API's estimate minus the steps since; if it has none, an estimate from the pace.

    None in a warm start, whose pace says nothing about that of training.
    """
    progress = feed.job["x_progress"]
    if feed.step <= feed.warm_steps > 0:
        return None
    left, left_then = max(progress["max_steps"] - feed.step, 0), progress["max_steps"] - progress["step"]
    if progress["eta_s"] is not None and left_then > 0:
        return progress["eta_s"] * left / left_then
    pace = pace_s(feed.metrics)
    return None if pace is None else pace * left
