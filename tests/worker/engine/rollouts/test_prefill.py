"""What chat templates write of an answer before the model does."""

import pytest

from tests.worker.engine.tiny import CHAT_TEMPLATE, tiny_tokenizer
from worker.engine.rollouts.prefill import prefill_of

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<PREFILL>{% endif %}"
)
LAST_WITH_REASONING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
DEEPSEEK = (
    "{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% else %}"
    "<｜Assistant｜>{{ m.content.split('</think>')[-1] }}<｜end▁of▁sentence｜>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜><think>\n{% endif %}"
)
DEEPSEEK_V31 = (
    "{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% else %}"
    "<｜Assistant｜></think>{{ m.content }}<｜end▁of▁sentence｜>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜><PREFILL>{% endif %}"
)
GLM = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}\n<think></think>{% endif %}\n"
    "{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|><PREFILL>{% endif %}"
)
ALL_WITHOUT_REASONING = CHATML.replace(
    "{{ m.content | trim }}", "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}"
)
ONE_TURN = (
    "{% if messages | length > 1 %}{{ raise_exception('one question only') }}{% endif %}{{ messages[0].content }}"
)


@pytest.mark.parametrize(
    ("template", "prefill"),
    [
        (CHAT_TEMPLATE, ""),
        (CHATML.replace("<PREFILL>", ""), ""),
        (CHATML.replace("<PREFILL>", "<think>\n"), "<think>\n"),
        (CHATML.replace("<PREFILL>", "<think>\n\n</think>\n\n"), "<think>\n\n</think>\n\n"),
        (LAST_WITH_REASONING, "<think>\n"),
        (DEEPSEEK, "<think>\n"),
        (DEEPSEEK_V31.replace("<PREFILL>", "<think>"), "<think>"),
        (DEEPSEEK_V31.replace("<PREFILL>", "</think>"), "</think>"),
        (DEEPSEEK_V31.replace("think>", "seed:think>").replace("<PREFILL>", "<seed:think>"), "<seed:think>"),
        (
            GLM.replace("\n<think></think>{% endif %}\n", "</think>{% endif %}").replace("<PREFILL>", "<think>"),
            "<think>",
        ),
        (GLM.replace("<PREFILL>", "\n<think></think>\n"), "\n<think></think>\n"),
        (GLM.replace("<PREFILL>", ""), ""),
        (ALL_WITHOUT_REASONING.replace("<PREFILL>", ""), ""),
        (ALL_WITHOUT_REASONING.replace("<PREFILL>", "<think>\n"), "<think>\n"),
        (ONE_TURN, ""),
    ],
    ids=[
        "plain",
        "chatml",
        "thinking",
        "not thinking",
        "last turn with reasoning",
        "deepseek",
        *map(str, range(8)),
        "one turn",
    ],
)
def test_the_prefill_is_what_follows_the_start_of_the_assistants_turn(template: str, prefill: str) -> None:
    assert prefill_of(tiny_tokenizer(chat_template=template)) == prefill
