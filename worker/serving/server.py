"""The chat server's loop: takes requests, loads and unloads models, sends responses. Does not import torch."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import structlog

from backend.chat.protocol import Piece, RequestRefused, RequestTaken
from backend.chat.server_queue import QueuedRequest, RequestQueue
from backend.errors import AppError
from worker.serving.scheduler import REMOTE_GRACE_S, ModelLoad, plan

if TYPE_CHECKING:  # the engine is loaded with the first model
    from worker.serving.model_runner import ModelRunner
    from worker.serving.sequence import SequenceGroup

POLL_S = 0.02
"""Seconds between two polls of the queue during generation."""
ABANDONED_POLL_S = 0.5
"""Seconds between two checks for requests whose callers have disconnected."""
IDLE_WAIT_S = 1.0
STOPPING = RequestRefused("The chat server is shutting down; send the request again.", 503, "server_stopping", None)
BROKEN = RequestRefused("The chat server failed on this request; see its log.", 500, "internal_error", None)
FULL = RequestRefused(
    "The chat server ran out of memory: request fewer tokens, or ask the administrator to lower RLSD_SERVE_TOKENS.",
    503,
    "out_of_memory",
    None,
)

log = structlog.get_logger()


class ModelLoader(Protocol):
    """Loads models and frees their memory."""

    def check(self, base: str) -> None:
        """Raise AppError if the model does not exist, as far as can be checked without its weights."""

    def load(self, base: str) -> "ModelRunner":
        """Load the model. Raises AppError if it cannot be used."""

    def free_memory(self) -> None:
        """Free the memory of models that were unloaded."""


class ChatServer:
    """One server process. `on_finished` is called for each request that finished or was aborted."""

    def __init__(
        self,
        queue: RequestQueue,
        *,
        loader: ModelLoader,
        on_finished: Callable[["SequenceGroup"], None],
        max_models: int,
        max_requests: int,
        idle_s: float,
    ) -> None:
        self._queue = queue
        self._loader = loader
        self._on_finished = on_finished
        self._max_models = max_models
        self._max_requests = max_requests
        self._idle_s = idle_s
        self._runners: dict[str, ModelRunner] = {}
        self._last_used: dict[str, float] = {}
        self._polled = self._checked_abandoned = 0.0

    @property
    def is_empty(self) -> bool:
        return not self._runners

    def serve(self, *, stopping: Callable[[], bool], done: Callable[[], bool]) -> None:
        """Serve until `done`. Once `stopping`, take no requests and end with the last response.

        On an error, all requests are refused and the error is raised.
        """
        try:
            while not done() and not (stopping() and not self._busy):
                queued = self._admit_requests() if not stopping() else False
                self._abort_abandoned()
                if self._busy:
                    self._step()
                else:
                    self._unload_idle()
                    if done():
                        return
                    self._queue.wait(REMOTE_GRACE_S / 3 if queued else IDLE_WAIT_S)
        except Exception as error:
            self._refuse_all(FULL if "memory" in type(error).__name__.lower() else BROKEN)
            raise
        self._refuse_all(STOPPING)

    @property
    def _busy(self) -> bool:
        return any(runner.requests for runner in self._runners.values())

    def _admit_requests(self) -> bool:
        """Take the requests the plan admits. True if any remain queued."""
        now = time.monotonic()
        if self._busy and now - self._polled < POLL_S:
            return False
        self._polled = now
        waiting = self._queue.queued()
        loaded = {
            base: ModelLoad(len(runner.requests), now - self._last_used[base]) for base, runner in self._runners.items()
        }
        chosen = plan(waiting, loaded=loaded, max_models=self._max_models, max_requests=self._max_requests)
        for request in chosen.admit:
            self._start_request(request, unload=chosen.unload)
        return len(waiting) > len(chosen.admit)

    def _start_request(self, queued: QueuedRequest, *, unload: str | None) -> None:
        """Take a request and load its model, after unloading `unload` once the new model is known to exist."""
        request = self._queue.take(queued)
        if request is None:
            return
        self._queue.send({request.id: [RequestTaken(self._queue.name)]})
        try:
            if request.base not in self._runners:
                if unload in self._runners:
                    self._loader.check(request.base)
                    self._unload(unload)
                self._runners[request.base] = self._loader.load(request.base)
            self._last_used[request.base] = time.monotonic()
            self._runners[request.base].add_request(request)
        except AppError as error:
            self._queue.send({request.id: [RequestRefused(error.message, error.status, error.code, error.param)]})

    def _step(self) -> None:
        """Generate one token per sequence on each model."""
        for base, runner in self._runners.items():
            if runner.requests:
                self._last_used[base] = time.monotonic()
                pieces, finished = runner.step()
                self._queue.send(pieces)
                for group in finished:
                    self._on_finished(group)
                runner.forward()

    def _abort_abandoned(self) -> None:
        now = time.monotonic()
        if now - self._checked_abandoned < ABANDONED_POLL_S:
            return
        self._checked_abandoned = now
        for runner in self._runners.values():
            for group in runner.abort(self._queue.abandoned(runner.requests)):
                self._on_finished(group)

    def _unload_idle(self) -> None:
        for base in [
            base for base, last_used in self._last_used.items() if time.monotonic() - last_used >= self._idle_s
        ]:
            self._unload(base)

    def _unload(self, base: str) -> None:
        self._last_used.pop(base, None)
        if self._runners.pop(base, None) is not None:
            log.info("model unloaded", model=base)
            self._loader.free_memory()

    def _refuse_all(self, why: RequestRefused) -> None:
        for runner in self._runners.values():
            requests = runner.requests
            pieces: dict[str, list[Piece]] = {request: [why] for request in requests}
            self._queue.send(pieces)
            for group in runner.abort(requests):
                self._on_finished(group)
