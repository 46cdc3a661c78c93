"""Chat templates like those of well-known models, on the starter's tokenizer."""

import shutil
from pathlib import Path

from transformers import PreTrainedTokenizerFast

STARTER = Path(__file__).parents[4] / "examples" / "starter" / "model"

CHAT_ML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' + message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Writes any role, and nothing of tools."""
GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "<|im_start|>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)
"""Refuses a system message, and turns that do not alternate."""
HERMES = (
    "{% if tools %}<|im_start|>system\n"
    "<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools><|im_end|>\n"
    "{% endif %}{% for message in messages %}<|im_start|>{{ message.role + '\n' }}"
    "{% if message.content %}{{ message.content }}{% endif %}"
    "{% for call in message.tool_calls %}<tool_call>"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Writes tools, calls of them and their answers."""
KNOWN_ROLES = (
    "{% for message in messages %}{% if message.role in ('user', 'assistant') %}"
    "<|im_start|>{{ message.role + '\n' + message.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Leaves out every role but two, without a word."""


def tokenizer_with(template: str, *, name: str = "gemma") -> PreTrainedTokenizerFast:
    """Return the starter's tokenizer with another template, under this name of a model."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(STARTER)
    tokenizer.chat_template = template
    tokenizer.name_or_path = name
    return tokenizer


def starter_with(folder: Path, template: str) -> Path:
    """Copy the starter to the folder, with another chat template."""
    shutil.copytree(STARTER, folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder
