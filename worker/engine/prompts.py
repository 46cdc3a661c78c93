"""Owns what the student and the teacher read: messages to token ids, with and without the hint.

The teacher's messages are the student's own with one block appended to the last user message; nothing else differs
(RLSD.md section 2). Images are not covered: a message part that is not text is an error naming the row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.engine.types import Hint, Task

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
class Prompt:
    """A task as token ids."""

    task: Task
    student_ids: tuple[int, ...]
    teacher_ids: tuple[int, ...] | None
    """The prompt with the hint; None where no teacher is asked."""


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


def hint_of(task: Task, *, hint: str) -> str:
    """What the teacher is told. ValueError naming the row where it is missing: no signal is absent silently."""
    text = task.answer if hint == Hint.ANSWER else task.solution
    if text is None or not text.strip():
        raise ValueError(f"row {task.row} has no {hint}, which the teacher's hint needs")
    return text


def encode(tokenizer: ChatTokenizer, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
    """Token ids of a conversation up to where the assistant begins. ValueError without a chat template."""
    if not tokenizer.chat_template:
        raise ValueError("the model's tokenizer has no chat template, so its messages cannot become a prompt")
    conversation = [dict(message) for message in messages]
    return tuple(
        tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=True, return_dict=False)
    )


def prepare(
    tasks: Sequence[Task],
    *,
    tokenizer: ChatTokenizer,
    hint: str | None,
    max_prompt_tokens: int,
    max_context_tokens: int,
) -> list[Prompt]:
    """Every task as token ids; `hint` names what the teacher sees, None means there is no teacher.

    `max_context_tokens` is what the model leaves for a prompt once its completion has room. A prompt that is too long
    is a ValueError naming the row: cutting it would change the question.
    """
    prompts = []
    for task in tasks:
        messages = text_messages(task)
        student_ids = encode(tokenizer, messages)
        teacher_ids = None
        if hint is not None:
            hinted = with_hint(messages, hint=hint_of(task, hint=hint), row=task.row)
            teacher_ids = encode(tokenizer, hinted)
        for name, ids in (("the prompt", student_ids), ("the prompt with its hint", teacher_ids or ())):
            if len(ids) > max_prompt_tokens:
                raise ValueError(
                    f"row {task.row}: {name} has {len(ids)} tokens, more than max_prompt_tokens = {max_prompt_tokens}"
                )
            if len(ids) > max_context_tokens:
                raise ValueError(
                    f"row {task.row}: {name} has {len(ids)} tokens; the model's context leaves {max_context_tokens} "
                    "beside the completion"
                )
        prompts.append(Prompt(task, student_ids, teacher_ids))
    return prompts
