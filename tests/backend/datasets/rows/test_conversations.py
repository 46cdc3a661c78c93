"""Messages, turns and their neighbours, system, history and replies, as other systems write them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from backend.datasets.rows.turns import MAX_PYTHON_CHARACTERS
from backend.errors import AppError
from tests.backend.datasets.formats.test_read import json_values
from tests.backend.datasets.rows.reading import QUESTION, REPLY, lines, read_all, read_one

MESSAGES = [{"role": "system", "content": 'It\'s "brief".'}, *QUESTION]
TURNS = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]


@pytest.mark.parametrize("written", [json.dumps(MESSAGES), json.dumps(MESSAGES, indent=1), repr(MESSAGES)])
def test_messages_written_as_text_are_read_as_messages_and_the_report_says_so(written: str) -> None:
    row, report = read_one({"prompt": written, "answer": "a"})
    assert row.messages == MESSAGES
    assert row.item["prompt"] == written
    assert report.notes == ["The texts in 'prompt' are lists of messages, and are read as messages."]


@pytest.mark.parametrize("message", [QUESTION[0], {"from": "human", "value": "Why?"}])
@pytest.mark.parametrize("write", [dict, json.dumps, repr])
def test_one_message_is_a_conversation(message: dict[str, Any], write: Callable[[object], object]) -> None:
    row, _ = read_one({"messages": write(message), "answer": "a"})
    assert row.messages == QUESTION


def test_the_parser_of_pythons_notation_gets_no_long_text() -> None:
    written = "[{'role': 'user', 'content': '" + "x" * MAX_PYTHON_CHARACTERS + "'}]"
    _, report = read_all(lines({"prompt": "p", "answer": "a"}, {"prompt": written, "answer": "a"}))
    assert "too long to be read in Python's notation" in report.problems[0].message
    row, _ = read_one({"prompt": written.replace("'", '"'), "answer": "a"})
    assert len(row.messages[0]["content"]) == MAX_PYTHON_CHARACTERS


def test_turns_of_sharegpt_are_read_as_messages_and_the_report_says_so() -> None:
    turns = [*TURNS, {"from": "tool", "value": "4"}, {"from": "human", "value": "Why?"}]
    for written in (turns, json.dumps(turns)):
        row, report = read_one({"conversations": written, "answer": "a"})
        assert [message["role"] for message in row.messages] == ["system", "user", "assistant", "tool", "user"]
        assert row.messages[-1] == QUESTION[0]
        assert len(report.notes) == 1
        assert "read as messages" in report.notes[0]


def test_speakers_of_sharegpt_may_have_capitals_and_call_tools() -> None:
    call = {"name": "add", "arguments": {"a": 1}}
    for value in (call, [call], json.dumps(call)):
        turns = [{"from": "Human", "value": "Why?"}, {"from": "function_call", "value": value}]
        turns += [{"from": "observation", "value": "2"}, {"from": "GPT", "value": "So."}]
        row, _ = read_one({"conversations": turns})
        assert [message["role"] for message in row.messages] == ["user", "assistant", "tool"]
        assert row.messages[1]["tool_calls"] == [{"type": "function", "function": call}]
        assert row.reference.answer == "So."


@pytest.mark.parametrize("turns", [[], [{"from": "human", "value": "Why?"}], [{"role": "user", "content": "Why?"}]])
def test_a_conversation_without_right_answer_is_a_bad_row_and_not_an_unknown_format(turns: list[Any]) -> None:
    _, report = read_all(lines({"conversations": turns}))
    assert report.shape == "conversations"
    assert [problem.code for problem in report.problems] == ["missing_answer" if turns else "invalid_messages"]


def test_the_text_parts_of_a_last_turn_are_the_right_answer() -> None:
    parts = [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]
    row, _ = read_one({"messages": [*QUESTION, {"role": "assistant", "content": parts}]})
    assert row.reference.answer == "42"


@pytest.mark.parametrize("content", [None, [{"type": "image"}], [{"type": "text", "text": None}]])
def test_a_last_turn_without_text_is_a_bad_row(content: Any) -> None:
    _, report = read_all(lines({"messages": [*QUESTION, {"role": "assistant", "content": content}]}))
    assert [problem.code for problem in report.problems] == ["missing_answer"]


def test_other_keys_of_a_turn_are_kept() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {}}}
    turns = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "", "tool_calls": [call]}]
    turns += [{"from": "tool", "value": "2", "tool_call_id": "c"}]
    row, _ = read_one({"conversations": turns, "answer": "a"})
    assert (row.messages[1]["tool_calls"], row.messages[2]["tool_call_id"]) == ([call], "c")


PAIRS = [["Hi", "Yes?"], ["Who?", "Me."]]


@pytest.mark.parametrize("history", [PAIRS, json.dumps(PAIRS), repr([tuple(pair) for pair in PAIRS])])
def test_system_and_history_of_alpaca_come_before_the_question(history: Any) -> None:
    row, report = read_one(
        {"instruction": "Add.", "input": 5, "output": "a", "system": "Be brief.", "history": history}
    )
    assert [(message["role"], message["content"]) for message in row.messages] == [
        ("system", "Be brief."),
        *[("user", "Hi"), ("assistant", "Yes?"), ("user", "Who?"), ("assistant", "Me.")],
        ("user", "Add.\n\n5"),
    ]
    assert (report.columns["system"], report.columns["history"]) == ("system", "history")


@pytest.mark.parametrize("empty", [None, "", " ", [], "[]"])
def test_empty_system_and_history_add_nothing(empty: Any) -> None:
    row, _ = read_one({"instruction": "Why?", "input": empty, "output": "a", "system": None, "history": empty})
    assert row.messages[0]["content"] == ("Why?\n\n[]" if empty == "[]" else "Why?")
    assert len(row.messages) == 1


@pytest.mark.parametrize("history", ["q", 5, {"a": 1}, [["q"]], [["q", 1]], [["q", ""]], "[['q', 'a'"])
def test_a_history_that_is_no_list_of_pairs_is_a_bad_row(history: Any) -> None:
    good = {"instruction": "Why?", "output": "a", "history": []}
    _, report = read_all(lines(good, good | {"history": history}))
    assert [problem.line for problem in report.problems] == [2]
    assert "'history'" in report.problems[0].message


@pytest.mark.parametrize("question", ["question", "prompt", "query", "input", "instruction", "problem"])
@pytest.mark.parametrize("column", ["system_prompt", "System Prompt", "system_message", "system"])
def test_a_system_prompt_next_to_a_question_is_the_system_message_and_said_so(question: str, column: str) -> None:
    row, report = read_one({column: "Be brief.", question: "Why?", "response": "a"})
    assert row.messages == [{"role": "system", "content": "Be brief."}, *QUESTION]
    assert report.notes == [f"The texts in '{column}' are system messages."]
    _, without = read_one({column: "", question: "Why?", "response": "a"})
    assert without.notes == []


SPOKEN = [*QUESTION, {"role": "assistant", "content": "So."}]


@pytest.mark.parametrize(
    ("row", "answer"),
    [({"messages": SPOKEN}, "So."), ({"messages": QUESTION, "label": "a"}, "a"), ({"conversations": SPOKEN}, "So.")],
)
def test_a_system_prompt_next_to_messages_is_never_the_answer(row: dict[str, Any], answer: str) -> None:
    read, _ = read_one(row | {"system": "Be brief."})
    assert read.messages == [{"role": "system", "content": "Be brief."}, *QUESTION]
    assert read.reference.answer == answer
    _, report = read_all(lines({"messages": QUESTION, "system": "Be brief."}))
    assert [problem.code for problem in report.problems] == ["missing_answer"]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"role": "Human", "content": "Why?"}, REPLY], "has the role 'Human' at messages[0]"),
        ([[*QUESTION, REPLY], QUESTION], "needs an object with 'role' and 'content' at messages[0]"),
        ("[{'role': 'user', 'content': 'Why?'}\n {'role': 'assistant', 'content': 'So.'}]", "neither JSON nor"),
        ("array([{'role': 'user', 'content': 'Why?'}], dtype=object)", "neither JSON nor in Python's notation"),
    ],
)
def test_what_is_wrong_with_messages_alone_in_a_file_is_named(messages: object, message: str) -> None:
    _, report = read_all(lines({"messages": messages}))
    assert message in report.problems[0].message


@pytest.mark.parametrize("system", [SYSTEM := {"role": "system", "content": "S"}, [SYSTEM], json.dumps([SYSTEM]), 3])
def test_a_system_message_that_is_no_text_is_a_bad_row(system: object) -> None:
    good = {"system": "S", "question": "Why?", "answer": "a"}
    _, report = read_all(lines(good, good | {"system": system}))
    assert [(problem.line, problem.code) for problem in report.problems] == [(2, "invalid_messages")]


@pytest.mark.parametrize("column", ["messages", "conversations", "conversation", "Messages"])
@pytest.mark.parametrize(
    "written", ["Why?", "({'role': 'user', 'content': 'Why?'},)", "[Message(role='user')]", "[{\u201crole\u201d: 1}]"]
)
def test_a_text_in_place_of_a_conversation_is_a_bad_row(column: str, written: str) -> None:
    _, report = read_all(lines({column: written, "answer": "a"}))
    assert [problem.code for problem in report.problems] == ["invalid_messages"]
    assert "is no list of messages" in report.problems[0].message


def test_two_columns_of_system_messages_are_refused_unless_they_are_equal() -> None:
    row = {"system": "A", "system_prompt": "A", "question": "Why?", "answer": "a"}
    assert read_one(row)[0].messages[0] == {"role": "system", "content": "A"}
    with pytest.raises(AppError, match="'system_prompt' and 'system' are candidates for the system message"):
        read_one(row | {"system": "B"})


def test_history_of_a_query_comes_before_it() -> None:
    row, _ = read_one({"system": "S", "query": "Why?", "response": "a", "history": [["Hi", "Yes?"]]})
    assert [message["content"] for message in row.messages] == ["S", "Hi", "Yes?", "Why?"]


def test_two_system_messages_are_a_bad_row_unless_they_are_equal() -> None:
    prompt = [{"role": "system", "content": "A"}, *QUESTION]
    rows, report = read_all(lines(*({"prompt": prompt, "answer": "a", "system_prompt": text} for text in "AB")))
    assert rows[0].messages == prompt
    assert [(problem.line, problem.code) for problem in report.problems] == [(2, "invalid_messages")]


def test_a_last_turn_that_is_read_as_the_answer_is_said_so_and_missing_in_a_row_is_named() -> None:
    spoken = {"messages": [*QUESTION, {"role": "assistant", "content": "So."}]}
    rows, report = read_all(lines(spoken, {"messages": QUESTION}))
    assert [row.reference.answer for row in rows] == ["So."]
    assert "is read as the right answer" in report.notes[0]
    assert [(problem.line, problem.code) for problem in report.problems] == [(2, "missing_answer")]


TABLE_REPLY = {"role": "assistant", "content": "So.", "tool_calls": None}


LEFT_OUT: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "NuminaMath": ({"problem": "Why?", "solution": "s", "messages": [*QUESTION, TABLE_REPLY]}, "s", "s"),
    "OpenR1": ({"problem": "Why?", "solution": "s", "answer": "a", "messages": [*QUESTION, TABLE_REPLY]}, "a", "s"),
    "turns": (
        {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}], "answer": "a"},
        "a",
        None,
    ),
    "the question twice": ({"prompt": "Why?", "messages": [*QUESTION, TABLE_REPLY], "answer": "a"}, "a", None),
    "the question twice as messages": (
        {"prompt": QUESTION, "messages": [*QUESTION, TABLE_REPLY], "answer": "a"},
        "a",
        None,
    ),
    "AWS RFT": ({"messages": json.dumps([*QUESTION, TABLE_REPLY]), "reference_answer": "a"}, "a", None),
}


@pytest.mark.parametrize(("item", "answer", "solution"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_reply_next_to_an_answer_of_its_own_is_left_out_and_said_so(
    item: dict[str, Any], answer: str, solution: str | None
) -> None:
    row, report = read_one(item)
    assert row.messages == QUESTION
    assert (row.reference.answer, row.reference.solution) == (answer, solution)
    assert [note for note in report.notes if "is left out" in note] != []


def test_a_conversation_that_puts_the_question_into_words_is_no_second_question() -> None:
    asked = [
        {"role": "user", "content": [{"type": "text", "text": "Answer  briefly:"}, {"type": "text", "text": "Why?"}]}
    ]
    row, report = read_one({"problem": "<image>Why?", "messages": asked, "answer": "a"})
    assert row.messages == asked
    assert report.notes == []


@pytest.mark.parametrize("column", ["question", "prompt", "messages"])
def test_a_list_of_one_conversation_is_that_conversation(column: str) -> None:
    row, report = read_one({column: [QUESTION], "answer": "a"})
    assert (row.messages, row.reference.answer, report.notes) == (QUESTION, "a", [])
    _, report = read_all(lines({column: [QUESTION, QUESTION], "answer": "a"}))
    assert [problem.code for problem in report.problems] == ["invalid_messages"]


@pytest.mark.parametrize(
    "replies", [[TABLE_REPLY, TABLE_REPLY], [TABLE_REPLY, {"role": "system", "content": "Be brief."}]]
)
def test_of_a_conversation_with_an_answer_of_its_own_one_reply_is_left_out(replies: list[Any]) -> None:
    rows, report = read_all(lines({"messages": QUESTION + replies, "answer": "a"}))
    assert (rows, [problem.code for problem in report.problems]) == ([], ["last_message_not_user"])


@pytest.mark.parametrize(
    "written",
    [
        '[{"role": "user", "content": "cut',
        "[{'role': 'user', 'content': {1}}]",
        "[{'role': 'user', 'content': open('x')}]",
        "[{'role': 'user'}\n {'role': 'user'}]",
        '[{"role": "user", "content": ' + "[" * 10_000,
        "[{'role': 'user', 'content': " + "-" * 100_000 + "1}]",
    ],
)
def test_text_that_only_begins_like_messages_is_a_bad_row(written: str) -> None:
    _, report = read_all(lines({"prompt": "p", "answer": "a"}, {"prompt": written, "answer": "a"}))
    (problem,) = report.problems
    assert (problem.line, problem.code) in [(2, "invalid_messages"), (2, "too_deep")]


def test_messages_written_as_text_follow_the_rules_of_json_lines() -> None:
    doubled = '[{"role": "user", "content": "a", "content": "b"}]'
    _, report = read_all(lines({"prompt": "p", "answer": "a"}, {"prompt": doubled, "answer": "a"}))
    assert report.problems[0].message == "has a text in 'prompt' that has the key 'content' twice"


def test_messages_written_as_text_are_told_by_their_keys_in_any_order() -> None:
    row, _ = read_one({"prompt": '[{"name": "kim", "role": "user", "content": "Why?"}]', "answer": "a"})
    assert row.messages == [{"name": "kim", **QUESTION[0]}]


EDGES = '[{"from": "A", "to": "B"}]'


@pytest.mark.parametrize(
    "written", ["[1, 2]", "[", "[{role}] is what?", 'Explain [{"a": 1}].', EDGES, f"{EDGES} Path?"]
)
def test_other_text_stays_a_question(written: str) -> None:
    row, report = read_one({"prompt": written, "answer": "a"})
    assert row.messages == [{"role": "user", "content": written}]
    assert report.notes == []


@given(json_values)
def test_any_value_in_a_conversation_is_read_or_reported(value: Any) -> None:
    for written in (value, json.dumps([{"role": "user", "content": value}]), repr([{"from": "human", "value": value}])):
        rows, report = read_all(lines({"prompt": written, "answer": "a"}))
        assert len(rows) + len(report.problems) == 1


def test_a_conversation_is_kept_with_its_parts_and_names() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Why?"}], "name": "kim"},
    ]
    row, _ = read_one({"messages": messages, "reference_answer": {"a": [1, 2]}})
    assert row.messages == messages
    assert row.reference.answer == '{"a": [1, 2]}'
