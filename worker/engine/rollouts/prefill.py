"""What a chat template writes around an answer: its beginning, such as `<think>`, and what follows it."""

import re

from worker.engine.rollouts.chat_template import ChatTemplateError, ChatTokenizer, render

FIRST, ANSWER, SECOND = "first-question", "first-answer", "second-question"
"""Contents that no template writes. Without blanks, since some templates trim contents."""
_NO_REASONING = re.compile(r"(?:<[\w:]*think\w*>\s*)?</[\w:]*think\w*>\s*\Z")
"""How some templates say before an earlier answer that it has no reasoning."""


def prefill_of(tokenizer: ChatTokenizer) -> str:
    """Return what the template writes of an answer before the model does; empty if it is nothing.

    That is by how much the end of a prompt is longer than the same place before an earlier answer, where templates
    write no reasoning, or that there is none. Empty also if the template takes no such conversation.
    """
    rendered = _conversation(tokenizer)
    head = _NO_REASONING.sub("", rendered.partition(FIRST)[2].partition(ANSWER)[0])
    end = rendered.rpartition(SECOND)[2]
    return end.removeprefix(head) if end.startswith(head) else ""


def text_after_answer(tokenizer: ChatTokenizer) -> str:
    """Return what the template writes between an answer and the next question; empty if it refuses them."""
    return _conversation(tokenizer).partition(ANSWER)[2].partition(SECOND)[0]


def _conversation(tokenizer: ChatTokenizer) -> str:
    """Render two questions and the first one's answer; empty if the template refuses them."""
    messages = [
        {"role": "user", "content": FIRST},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": SECOND},
    ]
    try:
        return render(tokenizer, messages, tools=())
    except ChatTemplateError:
        return ""
