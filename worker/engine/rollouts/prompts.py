"""Owns what the student and its teachers read: messages to token ids, with and without a hint.

The teacher's messages are the student's own with one block appended to the last user message; nothing else differs
(RLSD.md section 2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from worker.engine.faults import Fault, FaultCode
from worker.engine.model.images import Message, messages_and_pictures
from worker.engine.model.vision import ImageSpans, Vision
from worker.engine.settings import Settings
from worker.engine.types import Task

HINT_BLOCK = "\n\nReference:\n{hint}"
"""The block that holds the hint `r`. Models that are trained to use a hint must be trained on this form."""


class ChatTokenizer(Protocol):
    """The part of a transformers tokenizer that prompts need."""

    chat_template: str | None

    def apply_chat_template(
        self, conversation: list[dict[str, Any]], *, add_generation_prompt: bool, tokenize: Literal[False]
    ) -> str:
        """A conversation as text, ready for the assistant's turn."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a text."""

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        """The text of token ids."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a model reads before a completion."""

    ids: tuple[int, ...]
    sight: ImageSpans | None = None
    """The images among the words, where there are any."""

    @property
    def shift(self) -> int:
        """How far the position of what comes next lies from the number of tokens: images take fewer positions."""
        return 0 if self.sight is None else self.sight.shift


@dataclass(frozen=True, slots=True)
class Prompt:
    """A task and what the student reads of it."""

    task: Task
    student: Context


@dataclass(frozen=True, slots=True)
class LengthLimits:
    """How long a context may be."""

    max_prompt_tokens: int
    """What the settings allow."""
    max_context_tokens: int
    """What the model leaves once its completion has room."""

    @classmethod
    def of(cls, settings: Settings, *, max_positions: int) -> "LengthLimits":
        """The room in a model built for so many tokens. Fault where a completion leaves none for its prompt."""
        if max_positions <= settings.max_completion_tokens:
            raise Fault(
                FaultCode.CONTEXT_TOO_SHORT,
                f"the model was built for {max_positions} tokens, so max_completion_tokens = "
                f"{settings.max_completion_tokens} leaves no room for a prompt: lower it, or take a model with a "
                "longer context",
                param="max_completion_tokens",
            )
        return cls(settings.max_prompt_tokens, max_positions - settings.max_completion_tokens)

    @property
    def tokens(self) -> int:
        """The longest context that both allow."""
        return min(self.max_prompt_tokens, self.max_context_tokens)


@dataclass(frozen=True, slots=True)
class PromptBuilder:
    """Turns tasks into contexts, the same way for student and teacher."""

    tokenizer: ChatTokenizer
    room: LengthLimits
    vision: Vision | None = None
    """What reads images; None for a model of text."""

    def prompt(self, task: Task) -> Prompt:
        """What the student reads. ValueError naming the row where it is too long or malformed."""
        return Prompt(task, self._within_room(self._context(task), task=task, what="the prompt"))

    def with_hint(self, task: Task, *, hint: str) -> Context:
        """What a teacher reads. ValueError naming the row where it is too long: cutting it would change the hint."""
        return self._within_room(self._context(task, hint=hint), task=task, what="the prompt with its hint")

    def with_hint_that_fits(self, task: Task, *, hint: str) -> Context | None:
        """The same for a hint that is not the row's own; None where it is too long: then the teacher has no word."""
        if self.vision is not None and self.vision.is_marked(hint):
            return None
        context = self._context(task, hint=hint)
        return context if len(context.ids) <= self.room.tokens else None

    def _context(self, task: Task, *, hint: str | None = None) -> Context:
        """The task's messages and images, the hint appended where there is one.

        The images of a row are the same object in every context, and what stands for them the same tokens: a text
        that brings image tokens of its own is a ValueError naming the row.
        """
        messages, pictures = messages_and_pictures(task)
        if hint is not None:
            messages = with_hint(messages, hint=hint, row=task.row)
        if self.vision is not None:
            ids, sight = self.vision.read(render(self.tokenizer, messages), pictures=pictures, row=task.row)
            return Context(ids, sight)
        if pictures:
            raise ValueError(
                f"row {task.row}: the question shows an image, and the model reads only text: take one of the Qwen-VL "
                "family"
            )
        return Context(encode(self.tokenizer, messages))

    def _within_room(self, context: Context, *, task: Task, what: str) -> Context:
        length = len(context.ids)
        if length > self.room.max_prompt_tokens:
            raise Fault(
                FaultCode.PROMPT_TOO_LONG,
                f"row {task.row}: {what} has {length} tokens, more than max_prompt_tokens = "
                f"{self.room.max_prompt_tokens}: raise it, or shorten the row or leave it out",
                param="max_prompt_tokens",
            )
        if length > self.room.max_context_tokens:
            raise Fault(
                FaultCode.PROMPT_TOO_LONG,
                f"row {task.row}: {what} has {length} tokens; the model's context leaves "
                f"{self.room.max_context_tokens} beside the completion: lower max_completion_tokens, shorten the row, "
                "or take a model with a longer context",
                param="max_completion_tokens",
            )
        return context


def with_hint(messages: Sequence[Mapping[str, Any]], *, hint: str, row: int) -> list[Message]:
    """The messages with the hint block at the end of the last user message. Without one: ValueError naming the row."""
    hinted, block = [dict(message) for message in messages], HINT_BLOCK.format(hint=hint)
    for message in reversed(hinted):
        if message["role"] == "user":
            message["content"] = _appended(message["content"], block)
            return hinted
    raise ValueError(f"row {row}: there is no user message to append the hint to")


def _appended(content: str | Sequence[Mapping[str, str]], block: str) -> str | list[dict[str, str]]:
    """A message's content with the block behind its last words."""
    if isinstance(content, str):
        return content + block
    parts = [dict(part) for part in content]
    if parts[-1]["type"] == "text":
        parts[-1]["text"] += block
    else:
        parts.append({"type": "text", "text": block})
    return parts


def encode(tokenizer: ChatTokenizer, messages: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Token ids of a conversation up to where the assistant begins. ValueError without a chat template."""
    return tuple(tokenizer.encode(render(tokenizer, messages), add_special_tokens=False))


def render(tokenizer: ChatTokenizer, messages: Sequence[Mapping[str, Any]]) -> str:
    """A conversation as the chat template writes it, up to where the assistant begins. ValueError without one."""
    if not tokenizer.chat_template:
        raise ValueError("the model's tokenizer has no chat template, so its messages cannot become a prompt")
    conversation = [dict(message) for message in messages]
    return tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
