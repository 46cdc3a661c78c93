"""Runs one loaded base model: queues requests, admits them to its batch, turns tokens into response pieces."""

import gc
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch

from backend.chat.protocol import AdapterRef, ChatRequest, Piece, PromptRead, RequestRefused
from backend.errors import AppError
from worker.engine.model.adapter_files import Adapter
from worker.engine.model.policy import Policy
from worker.engine.rollouts.chat_template import folded
from worker.engine.rollouts.prompts import Context, LengthLimits, PromptBuilder
from worker.engine.types import Task
from worker.faults import as_sentence
from worker.serving.adapters import AdaptedBase
from worker.serving.batch import Batch, SequenceSlot
from worker.serving.sequence import SequenceGroup

UNBOUNDED = 2**31
Pieces = dict[str, list[Piece]]
"""Response pieces by request id."""


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """What one base model may hold at once."""

    sequences: int
    tokens: int
    """Over all sequences: prompt plus maximum completion, padded to the longest."""
    default_tokens: int
    """Completion tokens of a request without `max_tokens`."""
    adapters: int


class ModelRunner:
    """One base model and its requests.

    `fetch` reads an adapter; it raises AppError if the adapter is gone, ValueError if it cannot be read.
    """

    def __init__(self, policy: Policy, *, limits: RunnerLimits, fetch: Callable[[AdapterRef], Adapter]) -> None:
        self._limits = limits
        self._fetch = fetch
        self._base = AdaptedBase(policy, max_adapters=limits.adapters)
        self._batch = Batch(self._base)
        self._waiting: deque[SequenceGroup] = deque()
        self._running: dict[str, SequenceGroup] = {}
        self._group_of: dict[SequenceSlot, SequenceGroup] = {}

    @property
    def requests(self) -> list[str]:
        """Ids of the unfinished requests, running and waiting."""
        return [*self._running, *(group.request.id for group in self._waiting)]

    def add_request(self, request: ChatRequest) -> None:
        """Build the prompt and queue the request. Raises AppError if it cannot be answered."""
        context = self._context(request)
        decoder = replace(self._base.policy, skip_special_tokens=request.skip_special_tokens).decoder
        self._waiting.append(SequenceGroup(request, decoder, context, self._max_tokens(request, context)))

    def abort(self, requests: Iterable[str]) -> list[SequenceGroup]:
        """Stop these requests and return their sequence groups."""
        gone = set(requests)
        groups = [group for group in (*self._running.values(), *self._waiting) if group.request.id in gone]
        self._waiting = deque(group for group in self._waiting if group.request.id not in gone)
        self._batch.remove({slot for group in groups for slot in group.choices})
        for group in groups:
            self._running.pop(group.request.id, None)
        self._group_of = {slot: group for slot, group in self._group_of.items() if group.request.id not in gone}
        return groups

    def step(self) -> tuple[Pieces, list[SequenceGroup]]:
        """Admit waiting requests and sample one token per sequence. Returns new pieces and the finished groups."""
        pieces: Pieces = {}
        slots = [slot for group in self._admit(pieces) for slot in group.start()]
        if slots:
            self._batch.add(slots)
            for slot in slots:
                group = next(group for group in self._running.values() if slot in group.choices)
                self._group_of[slot] = group
                pieces.setdefault(group.request.id, [PromptRead(len(group.context.ids))])
        finished: list[SequenceGroup] = []
        finished_slots: set[SequenceSlot] = set()
        for sampled in self._batch.sample():
            group = self._group_of[sampled.slot]
            pieces.setdefault(group.request.id, []).extend(group.append_token(sampled))
            if sampled.slot not in group.choices:
                finished_slots.add(sampled.slot)
                del self._group_of[sampled.slot]
            if group.is_finished:
                finished.append(self._running.pop(group.request.id))
        self._batch.remove(finished_slots)
        return pieces, finished

    def forward(self) -> None:
        """Compute the logits of the next tokens."""
        self._batch.forward()

    def _admit(self, pieces: Pieces) -> list[SequenceGroup]:
        """Admit the requests that fit, in order, and load their adapters."""
        admitted: list[SequenceGroup] = []
        while self._waiting and self._batch.can_add and self._fits(self._waiting[0]):
            group = self._waiting.popleft()
            try:
                self._load_adapter(group)
            except AppError as error:
                pieces[group.request.id] = [RequestRefused(error.message, error.status, error.code, error.param)]
            except ValueError as error:
                pieces[group.request.id] = [RequestRefused(as_sentence(str(error)), 400, "adapter_not_usable", "model")]
            else:
                self._running[group.request.id] = group
                admitted.append(group)
        return admitted

    def _fits(self, group: SequenceGroup) -> bool:
        running = list(self._running.values())
        rows = sum(len(other.choices) or other.request.n for other in running) + group.request.n
        max_length = max(other.max_length for other in (*running, group))
        adapters = {other.adapter for other in (*running, group)} - {None}
        limits = self._limits
        return not running or (
            rows <= limits.sequences and rows * max_length <= limits.tokens and len(adapters) <= limits.adapters
        )

    def _load_adapter(self, group: SequenceGroup) -> None:
        if group.request.adapter is not None and group.request.adapter.sha256 not in self._base:
            in_use = {other.adapter for other in self._running.values() if other.adapter is not None}
            self._base.add(group.request.adapter.sha256, self._fetch(group.request.adapter), in_use=in_use)

    def _context(self, request: ChatRequest) -> Context:
        policy = self._base.policy
        try:
            task = Task(
                row=0,
                messages=tuple(folded(request.messages) if request.fold_system else request.messages),
                answer=None,
                solution=None,
                trajectory=None,
                privileged=None,
                item={},
            )
            return (
                PromptBuilder(policy.tokenizer, LengthLimits(UNBOUNDED, UNBOUNDED), policy.vision).prompt(task).student
            )
        except ValueError as error:
            reason = str(error).removeprefix("row 0: ")
        finally:
            if policy.vision is not None:
                policy.vision.row_images.clear()  # a context keeps its own images; the server must not keep all of them
        raise AppError(as_sentence(reason), code="invalid_messages", param="messages")

    def _max_tokens(self, request: ChatRequest, context: Context) -> int:
        """Completion tokens allowed per choice. Raises AppError if prompt and completion do not fit."""
        limits, prompt = self._limits, len(context.ids)
        if request.n > limits.sequences:
            raise AppError(
                f"n is {request.n}, but this server generates at most {limits.sequences} completions at once.",
                code="invalid_value",
                param="n",
            )
        positions, place = self._base.policy.max_positions, "the model's context"
        if limits.tokens // request.n < positions:
            positions, place = limits.tokens // request.n, "the server's token limit per completion (RLSD_SERVE_TOKENS)"
        left = positions - prompt
        if left < (request.max_tokens or 1):
            completion = "" if request.max_tokens is None else f" plus {request.max_tokens} for the completion"
            raise AppError(
                f"The messages have {prompt} tokens{completion}, but {place} is {positions} tokens: shorten the "
                "messages or request fewer tokens.",
                code="context_length_exceeded",
                param="messages",
            )
        return request.max_tokens or min(left, limits.default_tokens)


def free_memory() -> None:
    """Release the memory of unloaded models."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
