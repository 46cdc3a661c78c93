import pytest

from backend.errors import AppError
from backend.verifiers.specs import parse_spec


def source(subject, *patterns, head="def reward(completion, answer):"):
    cases = "".join(f"        case {pattern}: return 1.0\n" for pattern in patterns)
    return f"{head}\n    match {subject}:\n{cases}"


@pytest.mark.parametrize(
    "patterns",
    [
        ('[{"content": text}]',),
        ('[*_, {"role": "assistant", "content": text}]',),
        ('str() | [{"content": _}]',),
        ("str()", "list() as messages if messages[0]['content']"),
        ("[message] if message['content']",),
        ("[*messages] if messages[0]['role']",),
        ("[dict() as message] if message['content']",),
    ],
)
def test_a_case_that_asks_for_messages_is_refused_by_its_line(patterns):
    with pytest.raises(AppError) as refusal:
        parse_spec({"type": "python", "source": source("completion", *patterns)})
    assert "a 'case' cannot ask for messages here" in refusal.value.message
    assert f"Line {2 + len(patterns)}" in refusal.value.message


@pytest.mark.parametrize(
    "text",
    [
        source("completion[0]['content'].split()", "[word]"),
        source("completion[0]['content']", "'yes' | 'no'", "str()"),
        source("completion", '["a", *_]', "[]", "list()"),
        source("item['messages'][0]", '{"role": x}', head="def grade(item, output_text):"),
    ],
)
def test_other_cases_are_left_alone(text):
    parse_spec({"type": "python", "source": text})
