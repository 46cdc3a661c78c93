"""Prompts of student and teachers: from messages to token ids, with and without a hint.

The teacher's messages are the student's own with one block appended to the last user message; nothing else differs
(docs/rlsd.md section 2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.engine.faults import Fault, FaultCode
from worker.engine.model.images import Message, messages_and_images
from worker.engine.model.vision import ImageSpans, Vision
from worker.engine.rollouts.chat_template import ChatTemplateError, ChatTokenizer, render
from worker.engine.settings import Settings
from worker.engine.types import Task

HINT_BLOCK = "\n\nReference:\n{hint}"
"""The block that contains the hint `r`. Models that are trained to use a hint must be trained on this form."""


@dataclass(frozen=True, slots=True)
class Context:
    """The tokens a model reads before a completion."""

    ids: tuple[int, ...]
    image_spans: ImageSpans | None = None
    """Positions of the images in the prompt; None without images."""

    @property
    def shift(self) -> int:
        """How far the position of what comes next lies from the number of tokens: images take fewer positions."""
        return 0 if self.image_spans is None else self.image_spans.shift


@dataclass(frozen=True, slots=True)
class Prompt:
    """A task and the student's context for it."""

    task: Task
    student: Context
    hint: str | None = None
    """The hint in that context; None but in practice (`practice.py`)."""


@dataclass(frozen=True, slots=True)
class LengthLimits:
    """Limits on the length of a context."""

    max_prompt_tokens: int
    """Limit set by the settings."""
    max_context_tokens: int
    """The model's context length minus the longest completion."""

    @classmethod
    def of(cls, settings: Settings, *, max_positions: int) -> "LengthLimits":
        """Build the limits for a model with this context length. Fault if a completion leaves no room for a prompt."""
        if max_positions <= settings.max_completion_tokens:
            raise Fault(
                FaultCode.CONTEXT_TOO_SHORT,
                f"the model's context length is {max_positions} tokens, so max_completion_tokens = "
                f"{settings.max_completion_tokens} leaves no room for a prompt: lower it, or use a model with a "
                "longer context",
                param="max_completion_tokens",
            )
        return cls(settings.max_prompt_tokens, max_positions - settings.max_completion_tokens)

    @property
    def max_tokens(self) -> int:
        """The smaller of the two limits."""
        return min(self.max_prompt_tokens, self.max_context_tokens)


@dataclass(frozen=True, slots=True)
class PromptBuilder:
    """Converts tasks to contexts, the same way for student and teacher."""

    tokenizer: ChatTokenizer
    limits: LengthLimits
    vision: Vision | None = None
    """The image encoder; None for a text-only model."""

    def prompt(self, task: Task) -> Prompt:
        """Build the student's prompt. ValueError naming the row if it is too long or malformed."""
        return Prompt(task, self._check_length(self._context(task), task=task, what="the prompt"))

    def with_hint(self, task: Task, *, hint: str) -> Context:
        """Build a teacher's context. ValueError naming the row if it is too long: truncation would change the hint."""
        return self._check_length(self._context(task, hint=hint), task=task, what="the prompt with its hint")

    def try_with_hint(self, task: Task, *, hint: str) -> Context | None:
        """Build a teacher's context with a hint that is not the row's own; None if it is too long."""
        if self.vision is not None and self.vision.is_marked(hint):
            return None
        context = self._context(task, hint=hint)
        return context if len(context.ids) <= self.limits.max_tokens else None

    def _context(self, task: Task, *, hint: str | None = None) -> Context:
        """Tokenise the task's messages and images, the hint appended if there is one.

        A row's images are the same object and the same tokens in every context. ValueError naming the row if a text
        contains image tokens of its own.
        """
        messages, images = messages_and_images(task)
        if hint is not None:
            messages = with_hint(messages, hint=hint, row=task.row)
        if self.vision is not None:
            ids, image_spans = self.vision.read(self._render(task, messages), images=images, row=task.row)
            return Context(ids, image_spans)
        if images:
            raise ValueError(
                f"row {task.row}: the question contains an image, but the model reads only text: use a model of the "
                "Qwen-VL family"
            )
        return Context(tuple(self.tokenizer.encode(self._render(task, messages), add_special_tokens=False)))

    def _render(self, task: Task, messages: Sequence[Message]) -> str:
        """Render the messages with the task's tools. Fault naming row and model if the template cannot write them."""
        try:
            return render(self.tokenizer, messages, tools=task.tools)
        except ChatTemplateError as error:
            raise Fault(FaultCode.CHAT_TEMPLATE_REFUSES, f"row {task.row}: {error}", param=error.param) from error

    def _check_length(self, context: Context, *, task: Task, what: str) -> Context:
        length = len(context.ids)
        if length > self.limits.max_prompt_tokens:
            raise Fault(
                FaultCode.PROMPT_TOO_LONG,
                f"row {task.row}: {what} has {length} tokens, more than max_prompt_tokens = "
                f"{self.limits.max_prompt_tokens}: raise it, or shorten or remove the row",
                param="max_prompt_tokens",
            )
        if length > self.limits.max_context_tokens:
            raise Fault(
                FaultCode.PROMPT_TOO_LONG,
                f"row {task.row}: {what} has {length} tokens; the model's context leaves "
                f"{self.limits.max_context_tokens} for it besides the completion: lower max_completion_tokens, "
                "shorten the row, or use a model with a longer context",
                param="max_completion_tokens",
            )
        return context


def with_hint(messages: Sequence[Mapping[str, Any]], *, hint: str, row: int) -> list[Message]:
    """Append the hint block to the last user message. ValueError naming the row if there is none."""
    hinted, block = [dict(message) for message in messages], HINT_BLOCK.format(hint=hint)
    for message in reversed(hinted):
        if message["role"] == "user":
            message["content"] = _append_block(message["content"], block)
            return hinted
    raise ValueError(f"row {row}: there is no user message to append the hint to")


def _append_block(content: str | Sequence[Mapping[str, str]], block: str) -> str | list[dict[str, str]]:
    """Append the block to a message's content."""
    if isinstance(content, str):
        return content + block
    parts = [dict(part) for part in content]
    if parts[-1]["type"] == "text":
        parts[-1]["text"] += block
    else:
        parts.append({"type": "text", "text": block})
    return parts
