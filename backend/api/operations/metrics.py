"""`/metrics` for Prometheus: requests of this process, and the state of the whole installation.

Requires an administrator's key (`authorization` in the scrape configuration). Request metrics are those of this
process; all others are read from database and broker on each scrape, so they are the same in every API process.
"""

import time
from collections.abc import Iterator
from http import HTTPMethod

from fastapi import APIRouter, Depends, Request, Response
from kombu.exceptions import OperationalError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.http.operations import operation_of, probe
from backend.api.http.rights import ServerManage
from backend.chat.redis_keys import QUEUE as CHAT
from backend.chat.redis_keys import queue_depth
from backend.db.base import utc_now
from backend.db.checks import oldest_queued
from backend.db.engine import transaction
from backend.db.jobs import count_by_state, oldest_in_state
from backend.db.training import newest_metrics
from backend.jobs.lifecycle import OWNED, JobState
from backend.queue import CHECK_QUEUE, SAMPLE_QUEUE, TRAIN_QUEUE, queue_length
from backend.settings import settings
from backend.workers import active_workers

QUEUES = (TRAIN_QUEUE, CHECK_QUEUE, SAMPLE_QUEUE)
UNKNOWN = "unknown"
router = APIRouter(tags=["server"], dependencies=[Depends(probe)])


class Metrics:
    """The metrics of an application: of its own requests, and of the installation."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "rlsd_requests", "Requests handled.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "rlsd_request_seconds", "Seconds until the response started.", ["method", "route"], registry=self.registry
        )
        self.registry.register(Installation())


class CountRequests:
    """Middleware that counts and times responses by method, route and status.

    Unmatched routes and unknown methods are recorded as `unknown`: arbitrary values would create a series each.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in HTTPMethod.__members__ else UNKNOWN
                operation = operation_of(scope)
                route = UNKNOWN if operation is None else operation.path
                self._metrics.requests.labels(method, route, message["status"]).inc()
                self._metrics.seconds.labels(method, route).observe(time.perf_counter() - started)
            await send(message)

        await self.app(scope, receive, counting_send)


class Installation(Collector):
    """Collector of jobs, queues and workers, read on each scrape."""

    def collect(self) -> Iterator[Metric]:
        with transaction() as session:
            yield from _jobs(session)
            yield from _queues(session)
            yield from _training(session)
            active = active_workers(session)
        workers = GaugeMetricFamily("rlsd_workers", "Active workers.", labels=["queue"])
        for queue in (*QUEUES, CHAT):
            workers.add_metric([queue], sum(queue in worker.queues for worker in active))
        yield workers


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request, _: ServerManage) -> Response:
    """Return the metrics for Prometheus."""
    shown: Metrics = request.app.state.metrics
    return Response(generate_latest(shown.registry), headers={"content-type": CONTENT_TYPE_LATEST})


def _jobs(session: Session) -> Iterator[Metric]:
    counts = count_by_state(session)
    jobs = GaugeMetricFamily("rlsd_jobs", "Jobs by state.", labels=["state"])
    for state in JobState:
        jobs.add_metric([state], counts.get(state, 0))
    yield jobs


def _queues(session: Session) -> Iterator[Metric]:
    depth = GaugeMetricFamily("rlsd_queue_messages", "Messages waiting for a worker.", labels=["queue"])
    for queue in QUEUES:
        try:
            depth.add_metric([queue], queue_length(queue))
        except (OperationalError, OSError):
            depth.add_metric([queue], float("nan"))
    chat, chat_age_s = _chat_queue()
    depth.add_metric([CHAT], chat)
    yield depth
    age = GaugeMetricFamily("rlsd_oldest_waiting_seconds", "Age of the oldest queued item.", labels=["kind"])
    oldest = {"job": oldest_in_state(session, JobState.QUEUED), "check": oldest_queued(session)}
    for kind, since in oldest.items():
        age.add_metric([kind], 0 if since is None else (utc_now() - since).total_seconds())
    age.add_metric(["chat"], chat_age_s)
    yield age


def _chat_queue() -> tuple[float, float]:
    """Return the number of queued chat requests and the age of the oldest in seconds; NaN if the broker is down."""
    try:
        return queue_depth(settings().required_broker_url)
    except RedisError:
        return float("nan"), float("nan")


def _training(session: Session) -> Iterator[Metric]:
    """Report the newest step of each job that a worker is running."""
    newest = newest_metrics(session, states=OWNED)
    for name, key, description in (
        ("rlsd_step_seconds", "step_s", "Duration of the newest step."),
        ("rlsd_peak_memory_bytes", "peak_memory_bytes", "Peak device memory of the trainer."),
        ("rlsd_verifier_error_share", "errored", "Share of completions for which the verifier failed."),
    ):
        gauge = GaugeMetricFamily(name, description, labels=["job"])
        for job_id, values in newest:
            if values.get(key) is not None:
                gauge.add_metric([job_id], values[key])
        yield gauge
