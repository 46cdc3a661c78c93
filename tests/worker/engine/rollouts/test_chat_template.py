"""A chat template gets all of a conversation, or the conversation is refused in one clause."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.engine.rollouts.chat_templates import CHAT_ML, GEMMA, HERMES, KNOWN_ROLES, tokenizer_with
from worker.engine.faults import Fault
from worker.engine.rollouts.chat_template import ChatTemplateError, asked, folded, render
from worker.engine.rollouts.prompts import LengthLimits, PromptBuilder
from worker.engine.types import Task

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Balance of account 7?"}
TOOL = {"type": "function", "function": {"name": "balance", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "balance", "arguments": {"account": 7}}}
ASKS = {"role": "assistant", "content": "", "tool_calls": [CALL]}
TELLS = {"role": "tool", "content": "120", "tool_call_id": "c1"}


def rendered(template: str, *messages: dict[str, Any], tools: Sequence[dict[str, Any]] = ()) -> str:
    return render(tokenizer_with(template), messages, tools=tools)


def refusal(template: str, *messages: dict[str, Any], tools: Sequence[dict[str, Any]] = ()) -> ChatTemplateError:
    with pytest.raises(ChatTemplateError) as error:
        rendered(template, *messages, tools=tools)
    return error.value


def test_tools_calls_and_their_answers_are_in_the_prompt() -> None:
    text = rendered(HERMES, USER, ASKS, TELLS, tools=[TOOL])
    assert '<tools>{"type": "function", "function": {"name": "balance"' in text
    assert '<tool_call>{"name": "balance", "arguments": {"account": 7}}</tool_call>' in text
    assert text.endswith("<|im_start|>tool\n120<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("messages", "tools", "part"),
    [
        ((USER,), [TOOL], "the tools"),
        ((USER, ASKS, TELLS), [], "the tool calls"),
        ((USER, {**ASKS, "content": "I look."}, TELLS), [], "the tool calls"),
    ],
)
def test_a_template_that_knows_no_tools_is_refused_by_what_it_leaves_out(
    messages: tuple[dict[str, Any], ...], tools: list[dict[str, Any]], part: str
) -> None:
    error = refusal(CHAT_ML, *messages, tools=tools)
    assert str(error).startswith(f"the chat template of 'gemma' leaves out {part}: ")
    assert error.param == "model"


@pytest.mark.parametrize(
    ("messages", "part", "param"),
    [
        ((USER, {"role": "assistant", "content": "Let me see."}, TELLS), "the answers of tools", "model"),
        ((SYSTEM, USER), "the system messages", "fold_system"),
        (({**SYSTEM, "role": "developer"}, USER), "the system messages", "fold_system"),
    ],
)
def test_a_role_that_a_template_leaves_out_is_refused(
    messages: tuple[dict[str, Any], ...], part: str, param: str
) -> None:
    error = refusal(KNOWN_ROLES, *messages)
    assert f"leaves out {part}" in str(error)
    assert error.param == param


def test_a_developers_message_is_a_system_message() -> None:
    assert rendered(CHAT_ML, {**SYSTEM, "role": "developer"}, USER) == rendered(CHAT_ML, SYSTEM, USER)


def test_a_refused_system_message_names_the_setting_that_helps_and_the_templates_own_words() -> None:
    error = refusal(GEMMA, SYSTEM, USER)
    assert str(error) == (
        "the chat template of 'gemma' refuses the messages: \"System role not supported\"; it takes them with the "
        "system message in the first user message: set fold_system"
    )
    assert error.param == "fold_system"
    assert "Be brief.\n\nBalance of account 7?" in rendered(GEMMA, *map(dict, folded([SYSTEM, USER])))


@pytest.mark.parametrize("before", [(), (SYSTEM,)])
def test_turns_that_must_alternate_are_refused_in_the_templates_words(before: tuple[dict[str, Any], ...]) -> None:
    error = refusal(GEMMA, *before, USER, USER)
    assert "change the messages or use another model" in str(error)
    assert error.param == "model"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ messages[0].nothing.more }}", "has no attribute 'nothing'"),
        ("{{ messages[0]['content'] + 1 }}", "can only concatenate str"),
        ("{{ 1 // 0 }}", "integer division or modulo by zero"),
        ("{{ messages[9]['content'] }}", "has no element 9"),
        ("{% if %}", "Expected an expression"),
        ("{{ raise_exception('') }}", "TemplateError"),
        ("{{ raise_exception('no\nlines ' + 'x' * 5000) }}", "no lines xxx"),
    ],
)
def test_any_error_of_a_template_is_one_line_with_its_words(template: str, words: str) -> None:
    message = str(refusal(template, USER))
    assert words in message
    assert "\n" not in message
    assert len(message) < 500


def test_a_tokenizer_without_a_template_is_named() -> None:
    assert str(refusal("", USER)) == "the tokenizer of 'gemma' has no chat template"


def test_a_prompt_names_the_row_and_the_model() -> None:
    task = Task(row=17, messages=(SYSTEM, USER), answer="1", solution=None, trajectory=None, privileged=None, item={})
    prompt_builder = PromptBuilder(tokenizer_with(GEMMA), LengthLimits(500, 500))
    for build in (lambda: prompt_builder.prompt(task), lambda: prompt_builder.with_hint(task, hint="1")):
        with pytest.raises(Fault, match=re.escape("row 17: the chat template of 'gemma' refuses")) as fault:
            build()
        assert (fault.value.code, fault.value.param) == ("chat_template_refuses", "fold_system")


def test_the_teachers_prompt_has_the_tools_too() -> None:
    messages = (USER, ASKS, TELLS)
    task = Task(
        row=0, messages=messages, answer="1", solution=None, trajectory=None, privileged=None, item={}, tools=(TOOL,)
    )
    tokenizer = tokenizer_with(HERMES)
    prompt_builder = PromptBuilder(tokenizer, LengthLimits(500, 500))
    student = tokenizer.decode(prompt_builder.prompt(task).student.ids)
    teacher = tokenizer.decode(prompt_builder.with_hint(task, hint="look it up").ids)
    assert "<tools>" in student
    assert teacher == student.replace("account 7?", "account 7?\n\nReference:\nlook it up")


def test_an_instruction_is_the_system_message_or_the_beginning_of_the_rows_own() -> None:
    assert asked([USER], instruction="Add.", fold=False) == [{"role": "system", "content": "Add."}, USER]
    for role in ("system", "developer"):
        own = {"role": role, "content": "Be brief."}
        assert asked([own, USER], instruction="Add.", fold=False) == [
            {"role": role, "content": "Add.\n\nBe brief."},
            USER,
        ]
    parts = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    [told, _user] = asked([parts, USER], instruction="Add.", fold=False)
    assert told["content"] == [{"type": "text", "text": "Add.\n\n"}, *parts["content"]]
    assert asked([USER, SYSTEM], instruction="Add.", fold=False)[0] == {"role": "system", "content": "Add."}


def test_without_an_instruction_the_messages_are_the_rows() -> None:
    for messages in ([USER], [SYSTEM, USER]):
        assert asked(messages, instruction="", fold=False) == messages
        assert asked(messages, instruction="", fold=True) == folded(messages)


def test_a_folded_instruction_begins_the_first_user_message() -> None:
    for messages in ([USER, ASKS, TELLS, USER], [SYSTEM, USER, ASKS, TELLS, USER]):
        first, *others = asked(messages, instruction="Add.", fold=True)
        own = "Be brief.\n\n" if SYSTEM in messages else ""
        assert first == {"role": "user", "content": f"Add.\n\n{own}{USER['content']}"}
        assert others == messages[-3:]


def test_a_template_without_a_system_role_is_told_an_instruction_by_fold_system() -> None:
    error = refusal(GEMMA, *asked([USER], instruction="Add.", fold=False))
    assert (error.param, "set fold_system" in str(error)) == ("fold_system", True)
    assert "Add.\n\nBalance of account 7?" in rendered(GEMMA, *asked([USER], instruction="Add.", fold=True))


def test_a_system_message_of_parts_is_folded_as_text_and_one_with_an_image_refused() -> None:
    parts = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]
    assert folded([{"role": "system", "content": parts}, USER]) == folded([SYSTEM, USER])
    image = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}
    assert folded([SYSTEM, image])[0]["content"] == [{"type": "text", "text": "Be brief.\n\n"}, *image["content"]]
    with pytest.raises(ChatTemplateError, match="without images"):
        folded([{"role": "system", "content": [{"type": "image"}]}, USER])
    with pytest.raises(ChatTemplateError, match="needs a user message after"):
        folded([USER, ASKS, SYSTEM])


@given(st.lists(st.tuples(st.sampled_from(["system", "developer", "user", "assistant"]), st.text("ab\n ", max_size=4))))
def test_folding_keeps_every_text_in_order_and_leaves_no_system_message(turns: list[tuple[str, str]]) -> None:
    messages = [{"role": role, "content": text} for role, text in [*turns, ("user", "q")]]
    result = folded(messages)
    assert [message["role"] for message in result] == [
        message["role"] for message in messages if message["role"] not in ("system", "developer")
    ]
    for is_answer in (True, False):
        before, after = (
            "".join("".join(m["content"].split()) for m in each if (m["role"] == "assistant") == is_answer)
            for each in (messages, result)
        )
        assert after == before
    assert folded(result) == result
