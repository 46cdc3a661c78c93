"""The loop of a chat server: takes requests, holds models, says what they answer. It knows no torch itself."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import structlog

from backend.chat.protocol import Piece, RequestRefused, RequestTaken
from backend.chat.server_queue import QueuedRequest, RequestQueue
from backend.errors import AppError
from worker.serving.scheduler import PATIENCE_S, ModelLoad, plan

if TYPE_CHECKING:  # the engine is loaded with the first model
    from worker.serving.model_runner import ModelRunner
    from worker.serving.sequence import SequenceGroup

LOOK_S = 0.02
"""Seconds between two looks at who waits, while something is written."""
GONE_S = 0.5
"""The same for whose callers have gone."""
IDLE_LOOK_S = 1.0
STOPPING = RequestRefused("The chat server is being stopped; send the request again.", 503, "server_stopping", None)
BROKEN = RequestRefused("The chat server failed on this request; its log tells more.", 500, "internal_error", None)
FULL = RequestRefused(
    "The chat server ran out of memory: ask for fewer tokens, or have the administrator lower RLSD_SERVE_TOKENS.",
    503,
    "out_of_memory",
    None,
)

log = structlog.get_logger()


class ModelLoader(Protocol):
    """Loads models, and gives their memory back."""

    def look_at(self, base: str) -> None:
        """Raises AppError where there is no such model, as far as this is known without its weights."""

    def open(self, base: str) -> "ModelRunner":
        """Raises AppError where the model cannot be used."""

    def has_closed(self) -> None:
        """A host was let go of."""


class ChatServer:
    """`ended` is told of each talk that has ended or was given up."""

    def __init__(
        self,
        desk: RequestQueue,
        *,
        opener: ModelLoader,
        ended: Callable[["SequenceGroup"], None],
        most_models: int,
        most_requests: int,
        idle_s: float,
    ) -> None:
        self._desk = desk
        self._opener = opener
        self._ended = ended
        self._most_models = most_models
        self._most_requests = most_requests
        self._idle_s = idle_s
        self._hosts: dict[str, ModelRunner] = {}
        self._used: dict[str, float] = {}
        self._looked = self._looked_for_gone = 0.0

    @property
    def holds_nothing(self) -> bool:
        return not self._hosts

    def serve(self, *, stopping: Callable[[], bool], done: Callable[[], bool]) -> None:
        """Until `done`. From `stopping` on nothing is taken; then it ends with the last answer.

        When it fails, everybody is told, and the error goes on to whoever started it.
        """
        try:
            while not done() and not (stopping() and not self._busy):
                waits = self._look() if not stopping() else False
                self._dismiss_gone()
                if self._busy:
                    self._speak()
                else:
                    self._let_idle_go()
                    if done():
                        return
                    self._desk.wait(PATIENCE_S / 3 if waits else IDLE_LOOK_S)
        except Exception as error:
            self._refuse_all(FULL if "memory" in type(error).__name__.lower() else BROKEN)
            raise
        self._refuse_all(STOPPING)

    @property
    def _busy(self) -> bool:
        return any(host.requests for host in self._hosts.values())

    def _look(self) -> bool:
        """Take what is to be taken now; whether somebody waits whom nobody takes yet."""
        now = time.monotonic()
        if self._busy and now - self._looked < LOOK_S:
            return False
        self._looked = now
        waiting = self._desk.waiting()
        held = {base: ModelLoad(len(host.requests), now - self._used[base]) for base, host in self._hosts.items()}
        chosen = plan(waiting, held=held, most_models=self._most_models, most_requests=self._most_requests)
        for request in chosen.take:
            self._take(request, let_go=chosen.let_go)
        return len(waiting) > len(chosen.take)

    def _take(self, request: QueuedRequest, *, let_go: str | None) -> None:
        """`let_go` makes room where another model is needed, once it is known that there is such a model."""
        asked = self._desk.take(request)
        if asked is None:
            return
        self._desk.say({asked.id: [RequestTaken(self._desk.name)]})
        try:
            if asked.base not in self._hosts:
                if let_go in self._hosts:
                    self._opener.look_at(asked.base)
                    self._close(let_go)
                self._hosts[asked.base] = self._opener.open(asked.base)
            self._used[asked.base] = time.monotonic()
            self._hosts[asked.base].hear(asked)
        except AppError as error:
            self._desk.say({asked.id: [RequestRefused(error.message, error.status, error.code, error.param)]})

    def _speak(self) -> None:
        """A token for everybody."""
        for base, host in self._hosts.items():
            if host.requests:
                self._used[base] = time.monotonic()
                said, ended = host.speak()
                self._desk.say(said)
                for talk in ended:
                    self._ended(talk)
                host.advance()

    def _dismiss_gone(self) -> None:
        now = time.monotonic()
        if now - self._looked_for_gone < GONE_S:
            return
        self._looked_for_gone = now
        for host in self._hosts.values():
            for talk in host.withdraw(self._desk.left(host.requests)):
                self._ended(talk)

    def _let_idle_go(self) -> None:
        for base in [base for base, used in self._used.items() if time.monotonic() - used >= self._idle_s]:
            self._close(base)

    def _close(self, base: str) -> None:
        self._used.pop(base, None)
        if self._hosts.pop(base, None) is not None:
            log.info("a model is let go", model=base)
            self._opener.has_closed()

    def _refuse_all(self, why: RequestRefused) -> None:
        for host in self._hosts.values():
            requests = host.requests
            said: dict[str, list[Piece]] = {request: [why] for request in requests}
            self._desk.say(said)
            for talk in host.withdraw(requests):
                self._ended(talk)
