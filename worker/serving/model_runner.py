"""One base model that is held: requests wait for room in its batch, and its tokens become pieces of answers."""

import gc
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jinja2 import TemplateError

from backend.chat.protocol import AdapterRef, ChatRequest, Piece, PromptRead, RequestRefused
from backend.errors import AppError
from worker.engine.model.adapter_files import Adapter
from worker.engine.model.policy import Policy
from worker.engine.rollouts.prompts import Context, LengthLimits, PromptBuilder
from worker.engine.types import Task
from worker.faults import sentence
from worker.serving.adapters import AdaptedBase
from worker.serving.batch import Batch, SequenceSlot
from worker.serving.sequence import SequenceGroup

UNBOUNDED = 2**31
Said = dict[str, list[Piece]]
"""Pieces by request."""


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """What one base may take at once."""

    sequences: int
    tokens: int
    """Of all sequences together, prompts and what they may yet write."""
    default_tokens: int
    """Of a completion whose request does not say."""
    adapters: int


class ModelRunner:
    """`fetch` finds an adapter; it raises AppError where it is gone, ValueError where it cannot be read."""

    def __init__(self, policy: Policy, *, limits: RunnerLimits, fetch: Callable[[AdapterRef], Adapter]) -> None:
        self._limits = limits
        self._fetch = fetch
        self._base = AdaptedBase(policy, most=limits.adapters)
        self._batch = Batch(self._base)
        self._waiting: deque[SequenceGroup] = deque()
        self._running: dict[str, SequenceGroup] = {}
        self._talk_of: dict[SequenceSlot, SequenceGroup] = {}

    @property
    def requests(self) -> list[str]:
        """Those that have been heard and have not ended."""
        return [*self._running, *(talk.asked.id for talk in self._waiting)]

    def hear(self, asked: ChatRequest) -> None:
        """Lay out the prompt, and wait for room. Raises AppError where it cannot be answered."""
        context = self._context(asked)
        self._waiting.append(
            SequenceGroup(asked, self._base.policy.tokenizer, context, self._most_tokens(asked, context))
        )

    def withdraw(self, requests: Iterable[str]) -> list[SequenceGroup]:
        """Stop answering these; what they had come to."""
        gone = set(requests)
        talks = [talk for talk in (*self._running.values(), *self._waiting) if talk.asked.id in gone]
        self._waiting = deque(talk for talk in self._waiting if talk.asked.id not in gone)
        self._batch.leave({turn for talk in talks for turn in talk.voices})
        for talk in talks:
            self._running.pop(talk.asked.id, None)
        self._talk_of = {turn: talk for turn, talk in self._talk_of.items() if talk.asked.id not in gone}
        return talks

    def speak(self) -> tuple[Said, list[SequenceGroup]]:
        """Let in who waits and draw a token for everybody: what is to be said, and the talks that have ended."""
        said: Said = {}
        turns = [turn for talk in self._let_in(said) for turn in talk.begin()]
        if turns:
            self._batch.join(turns)
            for turn in turns:
                talk = next(talk for talk in self._running.values() if turn in talk.voices)
                self._talk_of[turn] = talk
                said.setdefault(talk.asked.id, [PromptRead(len(talk.context.ids))])
        ended: list[SequenceGroup] = []
        quiet: set[SequenceSlot] = set()
        for drawn in self._batch.draw():
            talk = self._talk_of[drawn.turn]
            said.setdefault(talk.asked.id, []).extend(talk.hear(drawn))
            if drawn.turn not in talk.voices:
                quiet.add(drawn.turn)
                del self._talk_of[drawn.turn]
            if talk.has_ended:
                ended.append(self._running.pop(talk.asked.id))
        self._batch.leave(quiet)
        return said, ended

    def advance(self) -> None:
        """Compute what the next tokens are drawn from."""
        self._batch.advance()

    def _let_in(self, said: Said) -> list[SequenceGroup]:
        """Those that have room now, in their order, with their adapters on the base."""
        let_in: list[SequenceGroup] = []
        while self._waiting and self._batch.is_open and self._has_room(self._waiting[0]):
            talk = self._waiting.popleft()
            try:
                self._put_adapter(talk)
            except AppError as error:
                said[talk.asked.id] = [RequestRefused(error.message, error.status, error.code, error.param)]
            except ValueError as error:
                said[talk.asked.id] = [RequestRefused(sentence(str(error)), 400, "adapter_not_usable", "model")]
            else:
                self._running[talk.asked.id] = talk
                let_in.append(talk)
        return let_in

    def _has_room(self, talk: SequenceGroup) -> bool:
        running = list(self._running.values())
        rows = sum(len(other.voices) or other.asked.n for other in running) + talk.asked.n
        width = max(other.width for other in (*running, talk))
        adapters = {other.adapter for other in (*running, talk)} - {None}
        limits = self._limits
        return not running or (
            rows <= limits.sequences and rows * width <= limits.tokens and len(adapters) <= limits.adapters
        )

    def _put_adapter(self, talk: SequenceGroup) -> None:
        if talk.asked.adapter is not None and talk.asked.adapter.sha256 not in self._base:
            in_use = {other.adapter for other in self._running.values() if other.adapter is not None}
            self._base.put(talk.asked.adapter.sha256, self._fetch(talk.asked.adapter), in_use=in_use)

    def _context(self, asked: ChatRequest) -> Context:
        policy = self._base.policy
        task = Task(
            row=0,
            messages=tuple(asked.messages),
            answer=None,
            solution=None,
            trajectory=None,
            privileged=None,
            item={},
        )
        try:
            return (
                PromptBuilder(policy.tokenizer, LengthLimits(UNBOUNDED, UNBOUNDED), policy.vision).prompt(task).student
            )
        except TemplateError as error:
            reason = f"the model's chat template does not take these messages: {error}"
        except ValueError as error:
            reason = str(error).removeprefix("row 0: ")
        finally:
            if policy.vision is not None:
                policy.vision.known.clear()  # a context keeps its own pictures; a server must not keep everybody's
        raise AppError(sentence(reason), code="invalid_messages", param="messages")

    def _most_tokens(self, asked: ChatRequest, context: Context) -> int:
        """How many tokens each choice may have. Raises AppError where prompt and completion have no room."""
        limits, prompt = self._limits, len(context.ids)
        if asked.n > limits.sequences:
            raise AppError(
                f"n is {asked.n}, and this server writes {limits.sequences} completions at once: ask for fewer.",
                code="invalid_value",
                param="n",
            )
        positions, place = self._base.policy.max_positions, "the model's context"
        if limits.tokens // asked.n < positions:
            positions, place = limits.tokens // asked.n, "the server's room for each completion (RLSD_SERVE_TOKENS)"
        left = positions - prompt
        if left < (asked.max_tokens or 1):
            written = "" if asked.max_tokens is None else f" and {asked.max_tokens} are to be written"
            raise AppError(
                f"The messages have {prompt} tokens{written}, and {place} has {positions}: shorten the messages, or "
                "ask for fewer tokens.",
                code="context_length_exceeded",
                param="messages",
            )
        return asked.max_tokens or min(left, limits.default_tokens)


def free_memory() -> None:
    """Give back what a host held that nobody names any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
