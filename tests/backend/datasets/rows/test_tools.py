"""Tools and tool calls of a row are read from every form they come in, or the row is refused; none is dropped."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.datasets.rows.rows import NormalRow
from backend.datasets.rows.shape import parse_mapping
from tests.backend.datasets.rows.reading import lines, read_all, read_one

QUESTION = [{"role": "user", "content": "Balance of account 7?"}]
PARAMETERS = {"type": "object", "properties": {"account": {"type": "integer"}}}
FUNCTION = {"name": "balance", "description": "Balance of an account", "parameters": PARAMETERS}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "c1", "type": "function", "function": {"name": "balance", "arguments": {"account": 7}}}
ASKS = {"role": "assistant", "content": "", "tool_calls": [CALL]}
TELLS = {"role": "tool", "tool_call_id": "c1", "content": "120"}

WRITTEN: dict[str, Any] = {
    "as OpenAI's chat": [TOOL],
    "as OpenAI's responses": [{"type": "function", **FUNCTION}],
    "as bare functions": [FUNCTION],
    "as one tool": TOOL,
    "as JSON text": json.dumps([TOOL]),
    "as a list of JSON texts": [json.dumps(TOOL)],
    "as Python's notation": repr([TOOL | {"strict": None}]),
    "as one tool in Python's notation": repr(TOOL),
    "as a list in Python's notation": [repr(TOOL)],
    "with parameters as JSON text": [
        {"type": "function", "function": {**FUNCTION, "parameters": json.dumps(PARAMETERS)}}
    ],
    "with the nulls of a table": [{"type": None, **FUNCTION, "strict": None, "function": None}],
}


@pytest.mark.parametrize("tools", WRITTEN.values(), ids=WRITTEN)
def test_tools_are_read_in_one_form_and_the_row_is_kept(tools: Any) -> None:
    item = {"messages": QUESTION, "tools": tools, "answer": "x"}
    row, report = read_one(item)
    assert row.tools == (TOOL,)
    assert row.item == item
    assert row.reference.answer == "x"
    assert NormalRow.from_json(json.loads(json.dumps(row.to_json())), number=0, line=1) == row
    assert report.warned == 0


OTHER_NAMES: dict[str, Any] = {
    "function": [FUNCTION],
    "apis": json.dumps([TOOL]),
    "Tool definitions": repr([FUNCTION]),
    "tool": FUNCTION,
    "api_list": [{"name": "balance", "description": "Balance of an account", "arguments": PARAMETERS}],
    "tool_schemas": [{"name": "balance", "description": "Balance of an account", "input_schema": PARAMETERS}],
    "tools_json": [json.dumps(TOOL)],
}


@pytest.mark.parametrize("question", [{"question": QUESTION[0]["content"]}, {"messages": QUESTION}])
@pytest.mark.parametrize(("column", "tools"), OTHER_NAMES.items(), ids=OTHER_NAMES)
def test_a_column_that_holds_definitions_of_tools_is_read_as_tools_and_said_so(
    question: dict[str, Any], column: str, tools: Any
) -> None:
    row, report = read_one({**question, column: tools, "answer": "x"})
    assert (row.messages, row.tools, row.reference.answer) == (QUESTION, (TOOL,), "x")
    assert [note for note in report.notes if f"'{column}'" in note] == [
        f"What '{column}' holds are definitions of tools, and is read as the row's tools."
    ]


def test_definitions_of_tools_are_no_answer_next_to_another_column() -> None:
    row, _ = read_one({"messages": QUESTION, "apis": [FUNCTION], "compliant": "yes"})
    assert (row.tools, row.reference.answer) == ((TOOL,), "yes")


def test_tools_for_the_chat_template_are_read() -> None:
    row, report = read_one({"messages": QUESTION, "chat_template_kwargs": {"tools": [TOOL]}, "compliant": "yes"})
    assert (row.tools, row.reference.answer, report.notes) == ((TOOL,), "yes", [])


@pytest.mark.parametrize(
    "value",
    [
        [{"name": "balance", "arguments": {"account": 7}}],
        json.dumps([{"name": "balance", "parameters": {"account": 7}}]),
        [CALL],
        [{"name": "Ann", "description": "A friend"}],
        [],
        "the name and the parameters",
        '[{"name": "balance", "parameters": ',
    ],
)
def test_calls_and_other_objects_are_no_tools(value: Any) -> None:
    row, report = read_one({"question": "Why?", "answer": "x", "more": value})
    assert (row.tools, report.notes) == ((), [])


@pytest.mark.parametrize("column", ["answer", "response", "ground_truth"])
def test_definitions_in_a_column_of_answers_are_no_tools(column: str) -> None:
    row, _ = read_one({"messages": QUESTION, column: [FUNCTION], "solution": "x"})
    assert row.tools == ()


def test_definitions_that_differ_from_the_tools_make_a_bad_row() -> None:
    other = {**FUNCTION, "name": "transfer"}
    rows, report = read_all(lines({"question": "Why?", "answer": "x", "tools": [TOOL], "function": [other]}))
    assert (rows, [problem.code for problem in report.problems]) == ([], ["ambiguous_tools"])


def test_tools_next_to_nemo_gyms_input_are_read() -> None:
    asked = {"input": QUESTION, "tools": [{"type": "function", **FUNCTION}]}
    row, report = read_one({"responses_create_params": asked, "expected_answer": "120"})
    assert (report.shape, row.tools) == ("responses_create_params", (TOOL,))


def test_calls_and_outputs_of_the_responses_api_become_messages() -> None:
    calls = [
        {"type": "function_call", "call_id": name, "name": "balance", "arguments": '{"account": 7}'}
        for name in ("c1", "c2")
    ]
    outputs = [{"type": "function_call_output", "call_id": name, "output": "120"} for name in ("c1", "c2")]
    asked = {"input": [{"type": "message", **QUESTION[0]}, *calls, *outputs]}
    row, _ = read_one({"responses_create_params": asked, "expected_answer": "120"})
    assert [message["role"] for message in row.messages] == ["user", "assistant", "tool", "tool"]
    assert row.messages[1]["tool_calls"] == [CALL, {**CALL, "id": "c2"}]
    assert row.messages[3] == {"role": "tool", "content": "120", "tool_call_id": "c2"}


@pytest.mark.parametrize(
    ("calls", "content"),
    [
        ([CALL], None),
        ([CALL], ""),
        ([{**CALL, "function": {"name": "balance", "arguments": '{"account": 7}'}}], None),
        (json.dumps([CALL]), None),
    ],
)
def test_a_call_without_content_is_read_and_its_arguments_are_an_object(calls: Any, content: str | None) -> None:
    row, _ = read_one(
        {
            "messages": [*QUESTION, {"role": "assistant", "content": content, "tool_calls": calls}, TELLS],
            "answer": "120",
        }
    )
    assert row.messages == [*QUESTION, ASKS, TELLS]


def test_calls_survive_a_table_whose_messages_all_have_the_same_columns() -> None:
    table = pa.table(
        {
            "messages": [[*QUESTION, {"role": "assistant", "content": None, "tool_calls": [CALL]}, TELLS]],
            "answer": ["1"],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    file.seek(0)
    (row,), _ = read_all(file)
    assert row.messages == [*QUESTION, ASKS, TELLS]


def test_a_column_next_to_messages_that_holds_tools_is_not_the_reference() -> None:
    for extra, answer in (({"compliant": "yes"}, "yes"), ({"a": 1, "b": 2}, None)):
        row, _ = read_one({"messages": QUESTION, "tools": [TOOL], **extra})
        assert row.reference.answer == answer
    _, report = read_all(lines({"messages": QUESTION, "tools": [TOOL]}))
    assert [problem.code for problem in report.problems] == ["missing_answer"]


@pytest.mark.parametrize("column", ["tools", "Tools", "functions", "available_tools", "Available Tools"])
def test_tools_are_found_in_columns_of_other_names(column: str) -> None:
    row, _ = read_one({"question": "q", column: [TOOL], "answer": "a"})
    assert row.tools == (TOOL,)


@pytest.mark.parametrize("key", ["input_schema", "inputSchema"])
def test_parameters_are_found_under_other_names(key: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    row, _ = read_one({"question": "q", "tools": [{"name": "add", key: schema}], "answer": "a"})
    assert row.tools == ({"type": "function", "function": {"name": "add", "parameters": schema}},)


@pytest.mark.parametrize("key", ["arguments", "parameters", "input"])
def test_arguments_are_found_under_other_names(key: str) -> None:
    asks = {"role": "assistant", "tool_calls": [{"index": 0, "id": "c1", "name": "balance", key: {"account": 7}}]}
    row, _ = read_one({"messages": [*QUESTION, asks, TELLS], "answer": "a"})
    assert row.messages[1] == ASKS


def test_a_turn_that_calls_nothing_is_a_bad_row() -> None:
    turns = [{"from": "human", "value": "q"}, {"from": "function_call", "value": ""}, {"from": "gpt", "value": "a"}]
    _, report = read_all(lines({"conversations": turns}))
    assert report.problems[0].message == "has a turn of 'function_call' without a call"


def test_a_right_answer_that_calls_tools_is_a_bad_row() -> None:
    calls = {"role": "assistant", "content": "4", "tool_calls": [{"name": "add", "arguments": {}}]}
    for row in ({"messages": [*QUESTION, calls]}, {"prompt": QUESTION, "completion": [calls]}):
        _, report = read_all(lines(row))
        assert "with calls of tools" in report.problems[0].message


@pytest.mark.parametrize("tools", ["a hammer, a saw", "f(x)", [1, 2], "[1, 2]", 3])
def test_a_column_of_the_same_name_with_something_else_is_kept_and_said(tools: Any) -> None:
    row, report = read_one({"question": "q", "tools": tools, "answer": "a"})
    assert row.tools == ()
    assert row.item["tools"] == tools
    assert [(warning.code, warning.number) for warning in report.warnings] == [("tools_not_functions", 0)]


@pytest.mark.parametrize("nothing", [None, [], {}, "", " ", "[]", "null", "None"])
def test_no_tools_and_no_calls_are_not_worth_a_word(nothing: Any) -> None:
    messages = [{**QUESTION[0], "tool_calls": nothing}]
    row, report = read_one({"messages": messages, "tools": nothing, "answer": "a"})
    assert (row.messages, row.tools, report.warned) == (QUESTION, (), 0)


def test_tools_that_are_the_right_answer_are_not_given_to_the_model() -> None:
    mapping = parse_mapping('{"question": "query", "answer": "tools"}')
    row, report = read_one({"query": "Which tool?", "tools": json.dumps([TOOL])}, mapping)
    assert (row.tools, row.reference.answer, report.warned) == ((), json.dumps([TOOL]), 0)


def test_two_columns_of_the_same_tools_are_one() -> None:
    row, report = read_one({"question": "q", "tools": [TOOL], "functions": json.dumps([FUNCTION]), "answer": "a"})
    assert (row.tools, report.warned) == ((TOOL,), 0)


NAMES = "names alone in 'tools', not definitions"
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "another type": ({"tools": [{"type": "web_search"}]}, "invalid_tools", "type 'web_search' at tools[0]"),
    "no name": ({"tools": [TOOL, {"type": "function", "function": {}}]}, "invalid_tools", "at tools[1]"),
    "tools in a message": (
        {"messages": [{**QUESTION[0], "tools": [TOOL]}]},
        "invalid_tools",
        "'tools' at messages[0]: put them in a column 'tools'",
    ),
    "arguments of another name": (
        {"messages": [*QUESTION, {"role": "assistant", "tool_calls": [{"name": "f", "kwargs": {"a": 1}}]}, TELLS]},
        "invalid_tool_calls",
        "'kwargs' at messages[1].tool_calls[0]: write it into 'arguments'",
    ),
    "a text among tools": ({"tools": [TOOL, "saw"]}, "invalid_tools", "at tools[1]"),
    "parameters that are no schema": (
        {"tools": [{"name": "f", "parameters": [1]}]},
        "invalid_tools",
        "parameters of tools[0]",
    ),
    "tools that are cut": ({"tools": '[{"name": '}, "invalid_tools", "neither JSON nor in Python's notation"),
    "tools of NumPy": ({"tools": "array([{'name': 'f'}], dtype=object)"}, "invalid_tools", "neither JSON nor"),
    "names": ({"tools": ["get_weather", "get_time"]}, "invalid_tools", NAMES),
    "one name": ({"tools": "get_weather"}, "invalid_tools", NAMES),
    "names as JSON text": ({"tools": '["get_weather", "get_time"]'}, "invalid_tools", NAMES),
    "names in Python's notation": ({"tools": "['get_weather', 'get_time']"}, "invalid_tools", NAMES),
    "names with commas": ({"tools": "get_weather, get_time"}, "invalid_tools", NAMES),
    "names in quotes": ({"tools": '"get_weather";"get-time"'}, "invalid_tools", NAMES),
    "two columns": (
        {"tools": [TOOL], "functions": [{"name": "f"}]},
        "ambiguous_tools",
        "different tools in 'tools' and 'functions'",
    ),
    "tools and something else": ({"tools": [TOOL], "functions": "see there"}, "ambiguous_tools", "'functions'"),
    "NUL in tools": ({"tools": r'[{"name": "a\u0000"}]'}, "nul_character", "NUL"),
    "half a character in tools": ({"tools": r'[{"name": "a\ud800"}]'}, "lone_surrogate", "surrogate"),
    "tools of great depth": ({"tools": "[" * 100_000}, "too_deep", "nested deeper"),
    "arguments that are not JSON": (
        {"messages": [*QUESTION, {**ASKS, "tool_calls": [{"name": "f", "arguments": "7"}]}, TELLS]},
        "invalid_tool_calls",
        "messages[1].tool_calls[0]",
    ),
    "a call of the user": (
        {"messages": [{**QUESTION[0], "tool_calls": [CALL]}]},
        "invalid_tool_calls",
        "messages[0].tool_calls",
    ),
    "a function call of old": (
        {"messages": [*QUESTION, {"role": "assistant", "content": None, "function_call": {"name": "f"}}, TELLS]},
        "invalid_tool_calls",
        "'function_call' at messages[1]",
    ),
    "no content and no call": (
        {"messages": [*QUESTION, {"role": "assistant", "content": None}, TELLS]},
        "invalid_messages",
        "messages[1].content",
    ),
    "no message of the user": ({"messages": [TELLS]}, "no_user_message", "'messages'"),
}


@pytest.mark.parametrize(("columns", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_tools_that_cannot_be_used_make_a_bad_line_that_says_where(
    columns: dict[str, Any], code: str, words: str
) -> None:
    good = {"messages": QUESTION, "answer": "a"}
    rows, report = read_all(lines(good, good | columns))
    assert len(rows) == 1
    assert [(problem.line, problem.code) for problem in report.problems] == [(2, code)]
    assert words in report.problems[0].message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text('a[{"', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "function", "name", "parameters", "arguments", "id"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(json_values, json_values)
def test_whatever_stands_for_tools_and_calls_is_read_or_reported(tools: Any, calls: Any) -> None:
    messages = [*QUESTION, {"role": "assistant", "content": "c", "tool_calls": calls}, TELLS]
    good = {"messages": QUESTION, "answer": "a"}
    rows, report = read_all(lines(good, {"messages": messages, "tools": tools, "answer": "a"}))
    assert len(rows) + report.bad == 2
    for row in rows:
        assert all(tool["function"]["name"] for tool in row.tools)
        assert NormalRow.from_json(json.loads(json.dumps(row.to_json())), number=row.number, line=row.line) == row
