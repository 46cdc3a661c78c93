"""Owns what the student and its teachers read: messages to token ids, with and without a hint.

The teacher's messages are the student's own with one block appended to the last user message; nothing else differs
(RLSD.md section 2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.engine.types import Task

HINT_BLOCK = "\n\nReference:\n{hint}"
"""The block that holds the hint `r`. Models that are trained to use a hint must be trained on this form."""


class ChatTokenizer(Protocol):
    """The part of a transformers tokenizer that prompts need."""

    chat_template: str | None

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, add_generation_prompt: bool, tokenize: bool, return_dict: bool
    ) -> list[int]:
        """Token ids of a conversation, ready for the assistant's turn."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a model reads before a completion."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A task and what the student reads of it."""

    task: Task
    student: Context


@dataclass(frozen=True, slots=True)
class Room:
    """How long a context may be."""

    max_prompt_tokens: int
    """What the settings allow."""
    max_context_tokens: int
    """What the model leaves once its completion has room."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns tasks into contexts, the same way for student and teacher."""

    tokenizer: ChatTokenizer
    room: Room

    def prompt(self, task: Task) -> Prompt:
        """What the student reads. ValueError naming the row where it is too long or malformed."""
        return Prompt(task, self._context(text_messages(task), task=task, what="the prompt"))

    def with_hint(self, task: Task, *, hint: str) -> Context:
        """What a teacher reads. ValueError naming the row where it is too long: cutting it would change the hint."""
        hinted = with_hint(text_messages(task), hint=hint, row=task.row)
        return self._context(hinted, task=task, what="the prompt with its hint")

    def with_hint_that_fits(self, task: Task, *, hint: str) -> Context | None:
        """The same for a hint that is not the row's own; None where it is too long: then the teacher has no word."""
        context = Context(encode(self.tokenizer, with_hint(text_messages(task), hint=hint, row=task.row)))
        return context if len(context.ids) <= min(self.room.max_prompt_tokens, self.room.max_context_tokens) else None

    def _context(self, messages: Sequence[Mapping[str, str]], *, task: Task, what: str) -> Context:
        ids = encode(self.tokenizer, messages)
        if len(ids) > self.room.max_prompt_tokens:
            raise ValueError(
                f"row {task.row}: {what} has {len(ids)} tokens, more than max_prompt_tokens = "
                f"{self.room.max_prompt_tokens}"
            )
        if len(ids) > self.room.max_context_tokens:
            raise ValueError(
                f"row {task.row}: {what} has {len(ids)} tokens; the model's context leaves "
                f"{self.room.max_context_tokens} beside the completion"
            )
        return Context(ids)


def text_messages(task: Task) -> list[dict[str, str]]:
    """The task's messages with plain text contents. Other roles and keys are kept out. ValueError names the row."""
    messages = []
    for message in task.messages:
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str):
            raise ValueError(f"row {task.row}: a message has no role")
        messages.append({"role": role, "content": _text(content, row=task.row)})
    return messages


def _text(content: object, *, row: int) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise ValueError(f"row {row}: a message has no text content")
    texts = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise ValueError(f"row {row}: a message part is not text")
        texts.append(str(part["text"]))
    return "".join(texts)


def with_hint(messages: Sequence[Mapping[str, str]], *, hint: str, row: int) -> list[dict[str, str]]:
    """The messages with the hint block at the end of the last user message. Without one: ValueError naming the row."""
    hinted = [dict(message) for message in messages]
    for message in reversed(hinted):
        if message["role"] == "user":
            message["content"] += HINT_BLOCK.format(hint=hint)
            return hinted
    raise ValueError(f"row {row}: there is no user message to append the hint to")


def encode(tokenizer: ChatTokenizer, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
    """Token ids of a conversation up to where the assistant begins. ValueError without a chat template."""
    if not tokenizer.chat_template:
        raise ValueError("the model's tokenizer has no chat template, so its messages cannot become a prompt")
    conversation = [dict(message) for message in messages]
    return tuple(
        tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=True, return_dict=False)
    )
