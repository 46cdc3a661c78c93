"""One question to several models at once, streamed in one thread per model. Independent of any page.

`stop` cancels the requests with the next piece; so does `ABANDONED_S` without a viewer, as after a browser was closed.
A refreshed page finds the answers still being written.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

from frontend.api import ApiError, Client
from frontend.api.types import Json

JOIN_S = 0.1
ABANDONED_S = 30.0


@dataclass(slots=True)
class ModelAnswer:
    """A model's answer so far. `tokens` and `seconds` are set at the end. `seconds` excludes the `waited_s` until the
    first text, in which an unloaded model is loaded.
    """

    model: str
    text: str = ""
    finish_reason: str | None = None
    tokens: int | None = None
    waited_s: float | None = None
    seconds: float | None = None
    error: ApiError | None = None
    done: bool = False


@dataclass(slots=True, eq=False)
class AnswerStreams:
    """Streamed answers, in the order of the models; they grow by themselves after `start`."""

    answers: list[ModelAnswer]
    _stopped: threading.Event = field(default_factory=threading.Event)
    _last_viewed: float = field(default_factory=time.monotonic)

    def __deepcopy__(self, _: object) -> "AnswerStreams":
        """Return itself: a kept draft refers to the same streams."""
        return self

    @classmethod
    def start(cls, client: Client, models: Sequence[str], *, question: Json) -> "AnswerStreams":
        """Start one stream per model. `question`: the body of a chat request without its model."""
        streams = cls([ModelAnswer(model) for model in models])
        for answer in streams.answers:
            body = {**question, "model": answer.model}
            threading.Thread(target=streams._receive, args=(client, body, answer), daemon=True).start()
        return streams

    @property
    def done(self) -> bool:
        """Whether all answers are complete, or were stopped."""
        return self._stopped.is_set() or all(answer.done for answer in self.answers)

    def wait(self, timeout_s: float) -> None:
        """Wait up to `timeout_s`, less if all answers are complete. Counts as viewing."""
        self._last_viewed = time.monotonic()
        deadline = self._last_viewed + timeout_s
        while not self.done and (left := deadline - time.monotonic()) > 0:
            self._stopped.wait(min(left, JOIN_S))

    def stop(self) -> None:
        """Stop receiving; the text so far stays."""
        self._stopped.set()

    def _receive(self, client: Client, body: Json, answer: ModelAnswer) -> None:
        started = time.monotonic()
        try:
            with closing(client.answer(body)) as pieces:
                for piece in pieces:
                    if piece.text and answer.waited_s is None:
                        answer.waited_s = time.monotonic() - started
                    answer.text += piece.text
                    answer.finish_reason = piece.finish_reason or answer.finish_reason
                    answer.tokens = piece.tokens or answer.tokens
                    if time.monotonic() - self._last_viewed > ABANDONED_S:
                        self.stop()
                    if self._stopped.is_set():
                        return
        except ApiError as error:
            answer.error = error
        finally:
            answer.seconds = time.monotonic() - started - (answer.waited_s or 0.0)
            answer.done = True
