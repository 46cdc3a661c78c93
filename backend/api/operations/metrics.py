"""`/metrics` for Prometheus: what this process answered, and what the whole installation is doing.

Open to administrators' keys (`authorization` in the scrape configuration). Counts of requests are of this process; all
else is read from database and broker when it is asked for, so it is the same from every API process.
"""

import time
from collections.abc import Iterator
from http import HTTPMethod

from fastapi import APIRouter, Response
from kombu.exceptions import OperationalError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.http.dependencies import Auth
from backend.api.http.route_templates import route_template
from backend.chat.redis_keys import QUEUE as CHAT
from backend.chat.redis_keys import waiting_requests
from backend.db.base import utc_now
from backend.db.checks import Check, CheckStatus
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Step
from backend.jobs.lifecycle import OWNED, JobState
from backend.queue import CHECK_QUEUE, SAMPLE_QUEUE, TRAIN_QUEUE, waiting
from backend.settings import settings
from backend.workers import seen_now

QUEUES = (TRAIN_QUEUE, CHECK_QUEUE, SAMPLE_QUEUE)
UNKNOWN = "unknown"
router = APIRouter(tags=["health"])

registry = CollectorRegistry()
requests = Counter("rlsd_requests", "Requests answered.", ["method", "route", "status"], registry=registry)
seconds = Histogram(
    "rlsd_request_seconds", "Seconds to the answer's beginning.", ["method", "route"], registry=registry
)


class CountRequests:
    """Counts each answer by method, route and status, and times it.

    What was answered before a route was found has none, and methods are those that HTTP knows: what a stranger may
    choose would make a series each.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in HTTPMethod.__members__ else UNKNOWN
                route = route_template(scope) or UNKNOWN
                requests.labels(method, route, message["status"]).inc()
                seconds.labels(method, route).observe(time.perf_counter() - begun)
            await send(message)

        await self.app(scope, receive, counted)


class Installation(Collector):
    """Jobs, queues and workers, counted when they are asked for."""

    def collect(self) -> Iterator[Metric]:
        with transaction() as session:
            yield from _jobs(session)
            yield from _queues(session)
            yield from _training(session)
            seen = seen_now(session)
        workers = GaugeMetricFamily("rlsd_workers", "Workers that are there.", labels=["queue"])
        for queue in (*QUEUES, CHAT):
            workers.add_metric([queue], sum(queue in worker.queues for worker in seen))
        yield workers


registry.register(Installation())


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(_: Auth) -> Response:
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})


def _jobs(session: Session) -> Iterator[Metric]:
    counted = dict(session.execute(select(Job.state, func.count()).group_by(Job.state)).tuples().all())
    jobs = GaugeMetricFamily("rlsd_jobs", "Jobs by state.", labels=["state"])
    for state in JobState:
        jobs.add_metric([state], counted.get(state, 0))
    yield jobs


def _queues(session: Session) -> Iterator[Metric]:
    depth = GaugeMetricFamily("rlsd_queue_messages", "Messages that no worker has taken.", labels=["queue"])
    for queue in QUEUES:
        try:
            depth.add_metric([queue], waiting(queue))
        except (OperationalError, OSError):
            depth.add_metric([queue], float("nan"))
    chat, chat_age_s = _chat_line()
    depth.add_metric([CHAT], chat)
    yield depth
    age = GaugeMetricFamily("rlsd_oldest_waiting_seconds", "Age of what has waited longest.", labels=["kind"])
    oldest = {
        "job": session.scalar(select(func.min(Job.created_at)).where(Job.state == JobState.QUEUED)),
        "check": session.scalar(select(func.min(Check.created_at)).where(Check.status == CheckStatus.QUEUED)),
    }
    for kind, since in oldest.items():
        age.add_metric([kind], 0 if since is None else (utc_now() - since).total_seconds())
    age.add_metric(["chat"], chat_age_s)
    yield age


def _chat_line() -> tuple[float, float]:
    """Requests that no chat server has taken, and seconds that the oldest has waited; NaN where nobody can say."""
    try:
        return waiting_requests(settings().required_broker_url)
    except RedisError:
        return float("nan"), float("nan")


def _training(session: Session) -> Iterator[Metric]:
    """The newest step of each job that a worker has now."""
    newest = session.execute(
        select(Step.job_id, Step.metrics)
        .join(Job, (Job.id == Step.job_id) & (Job.step == Step.step))
        .where(Job.state.in_(OWNED))
    ).all()
    for name, key, about in (
        ("rlsd_step_seconds", "step_s", "Seconds of the newest step."),
        ("rlsd_peak_memory_bytes", "peak_memory_bytes", "Most memory the trainer has held, on its device."),
        ("rlsd_verifier_error_share", "errored", "Share of completions on which the verifier failed."),
    ):
        gauge = GaugeMetricFamily(name, about, labels=["job"])
        for job_id, values in newest:
            if values.get(key) is not None:
                gauge.add_metric([job_id], values[key])
        yield gauge
