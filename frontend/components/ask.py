"""One question to several models at once: each answers in a thread of its own, so that they write side by side.

Pure of any page. Who no longer wants the answers says `stop`, and the questions are withdrawn with the next word; so
they are where nobody has looked for `ABANDONED_S`, as after a browser was closed. A page that is refreshed finds them
still being written.
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
    """What a model has said so far. `tokens` and `seconds` are known at the end: `seconds` are those of writing,
    without the `waited_s` until its first word, in which a model that rests is loaded.
    """

    model: str
    text: str = ""
    finish_reason: str | None = None
    tokens: int | None = None
    waited_s: float | None = None
    seconds: float | None = None
    error: ApiError | None = None
    over: bool = False


@dataclass(slots=True, eq=False)
class AnswerStreams:
    """`answers` stand in the order of the models and grow by themselves after `start`."""

    answers: list[ModelAnswer]
    _stopped: threading.Event = field(default_factory=threading.Event)
    _looked_at: float = field(default_factory=time.monotonic)

    def __deepcopy__(self, _: object) -> "AnswerStreams":
        """Itself: the same answers are listened to, whoever keeps what."""
        return self

    @classmethod
    def start(cls, client: Client, models: Sequence[str], *, question: Json) -> "AnswerStreams":
        """`question` is the body of a chat request without its model."""
        asking = cls([ModelAnswer(model) for model in models])
        for answer in asking.answers:
            body = {**question, "model": answer.model}
            threading.Thread(target=asking._listen, args=(client, body, answer), daemon=True).start()
        return asking

    @property
    def over(self) -> bool:
        """Nothing more is wanted, or will be said."""
        return self._stopped.is_set() or all(answer.over for answer in self.answers)

    def wait(self, timeout_s: float) -> None:
        """A moment, less where all have ended."""
        self._looked_at = time.monotonic()
        deadline = self._looked_at + timeout_s
        while not self.over and (left := deadline - time.monotonic()) > 0:
            self._stopped.wait(min(left, JOIN_S))

    def stop(self) -> None:
        """Listen no more: what has been said stays."""
        self._stopped.set()

    def _listen(self, client: Client, body: Json, answer: ModelAnswer) -> None:
        begun = time.monotonic()
        try:
            with closing(client.answer(body)) as pieces:
                for piece in pieces:
                    if piece["text"] and answer.waited_s is None:
                        answer.waited_s = time.monotonic() - begun
                    answer.text += piece["text"]
                    answer.finish_reason = piece["finish_reason"] or answer.finish_reason
                    answer.tokens = piece["tokens"] or answer.tokens
                    if time.monotonic() - self._looked_at > ABANDONED_S:
                        self.stop()
                    if self._stopped.is_set():
                        return
        except ApiError as error:
            answer.error = error
        finally:
            answer.seconds = time.monotonic() - begun - (answer.waited_s or 0.0)
            answer.over = True
