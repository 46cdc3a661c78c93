"""Files written for other systems are read to the same normal form; unusable rows are reported by line."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.datasets.formats.problems import Report
from backend.datasets.rows.images import ImageStore
from backend.datasets.rows.references import right_answer_of
from backend.datasets.rows.rows import NormalRow, normal_rows, read_rows
from backend.datasets.rows.shape import ColumnMapping, parse_mapping
from backend.datasets.rows.source import open_table
from backend.errors import AppError
from tests.backend.datasets.formats.test_read import free_columns, json_values
from tests.backend.datasets.formats.workbooks import workbook
from tests.backend.datasets.rows.reading import QUESTION, REPLY, lines, read_all, read_one

TRUTH = {"ground_truth": "4", "style": "rule"}
SHAPES = {
    "NeMo Gym": (
        {"responses_create_params": {"input": QUESTION}, "expected_answer": "42", "agent_ref": {"name": "x"}},
        "responses_create_params",
        "42",
        None,
    ),
    "NeMo Gym, a text, no reference": (
        {"responses_create_params": {"input": "Why?", "tools": []}, "verifier_metadata": {"k": [1]}},
        "responses_create_params",
        None,
        None,
    ),
    "verl": (
        {"data_source": "d", "prompt": QUESTION, "reward_model": TRUTH, "extra_info": {"index": 0, "answer": "w"}},
        "reward_model.ground_truth",
        "4",
        None,
    ),
    "verl before TRL": (
        {"prompt": QUESTION, "reward_model": TRUTH, "answer": "no"},
        "reward_model.ground_truth",
        "4",
        None,
    ),
    "ms-swift, a teacher's prompt": (
        {"messages": QUESTION, "solution": "so", "teacher_prompt": "told"},
        "teacher_prompt",
        "so",
        "so",
    ),
    "EasyR1": ({"problem": "Why?", "answer": "a"}, "problem + answer", "a", None),
    "RLSD's authors": ({"problem": "Why?", "answer": "a", "trajectory": "t"}, "problem + answer", "a", None),
    "AWS RFT": ({"messages": QUESTION, "reference_answer": "42"}, "messages + reference_answer", "42", None),
    "OpenAI RFT, one key": ({"messages": QUESTION, "compliant": "yes"}, "messages + other keys", "yes", None),
    "OpenAI RFT, several": ({"messages": QUESTION, "a": "x", "b": "y"}, "messages + other keys", None, None),
    "ms-swift": ({"messages": QUESTION, "solution": "so"}, "messages + other keys", "so", "so"),
    "starter": ({"messages": QUESTION, "answer": "a", "solution": "s"}, "messages + other keys", "a", "s"),
    "verifiers": ({"question": "Why?", "answer": "42", "info": {"k": 1}}, "question + answer", "42", None),
    "GSM8K": ({"question": "Why?", "answer": "6 * 7\n#### 42"}, "question + answer", "42", "6 * 7"),
    "TRL solution": ({"prompt": "Why?", "solution": "so"}, "prompt + solution/ground_truth/answer", "so", "so"),
    "TRL ground truth": (
        {"prompt": QUESTION, "ground_truth": "g", "solution": "s"},
        "prompt + solution/ground_truth/answer",
        "g",
        "s",
    ),
    "ShareGPT": ({"conversations": [{"from": "human", "value": "Why?"}], "answer": "a"}, "conversations", "a", None),
    "ShareGPT, one conversation": (
        {"conversation": [{"from": "human", "value": "Why?"}], "ground_truth": "a"},
        "conversation",
        "a",
        None,
    ),
    "ShareGPT, the last turn": (
        {"id": 1, "conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
        "conversations",
        "So.",
        None,
    ),
    "chat messages, the last turn": (
        {"messages": [*QUESTION, {"role": "assistant", "content": "So."}]},
        "messages + other keys",
        "So.",
        None,
    ),
    "Alpaca without input": (
        {"instruction": "Why?", "input": "", "output": "a"},
        "instruction + output",
        "a",
        None,
    ),
    "Alpaca, other order": ({"output": "a", "instruction": "Why?"}, "instruction + output", "a", None),
    "capitals": ({"Question": "Why?", "Answer": "a"}, "question + answer", "a", None),
    "blanks around": ({" question ": "Why?", "ANSWER ": "a", "Solution": "s"}, "question + answer", "a", "s"),
    "invisible characters": ({"\ufeffquestion": "Why?", "\u200banswer": "a"}, "question + answer", "a", None),
    "words with blanks": ({"Question": "Why?", "Reference answer": "a"}, "question + answer", "a", None),
    "an evaluation": ({"input": "Why?", "expected_answer": "a"}, "input + expected_answer", "a", None),
    "an expected output": ({"input": "Why?", "expected output": "a"}, "input + expected_answer", "a", None),
    "problem and solution": ({"problem": "Why?", "solution": "a"}, "problem + answer", "a", "a"),
    "query and response": ({"query": "Why?", "response": "a"}, "query + response", "a", None),
    "prompt and completion": (
        {"prompt": "Why?", "completion": "a"},
        "prompt + solution/ground_truth/answer",
        "a",
        None,
    ),
    "a reference and a reply": ({"question": "Why?", "answer": "a", "response": "b"}, "question + answer", "a", None),
    "the same question twice": ({"question": "Why?", "prompt": "Why?", "answer": "a"}, "question + answer", "a", None),
    "TRL answer": ({"prompt": "Why?", "answer": "a"}, "prompt + solution/ground_truth/answer", "a", None),
}


@pytest.mark.parametrize(("item", "shape", "answer", "solution"), SHAPES.values(), ids=SHAPES)
def test_each_shape_gives_question_answer_and_solution(
    item: dict[str, Any], shape: str, answer: str | None, solution: str | None
) -> None:
    row, report = read_one(item)
    assert report.shape == shape
    assert row.messages == QUESTION
    assert (row.reference.answer, row.reference.solution) == (answer, solution)
    assert row.item == item


HINTS = {
    "the worked solution before the answer": ({"answer": "a", "solution": "s"}, ("s", "solution")),
    "the answer alone": ({"answer": "a"}, ("a", "answer")),
    "the text before the mark": ({"answer": "w\n#### 1"}, ("w", "solution")),
    "a trajectory before a solution": ({"answer": "a", "solution": "s", "trajectory": "t"}, ("t", "trajectory")),
    "a teacher's prompt before all": (
        {"answer": "a", "trajectory": "t", "privileged_context": "p", "teacher_prompt": "tp"},
        ("tp", "teacher_prompt"),
    ),
    "not an empty column": ({"answer": "a", "solution": " ", "privileged_context": None}, ("a", "answer")),
}


@pytest.mark.parametrize(("columns", "hint"), HINTS.values(), ids=HINTS)
def test_the_hint_comes_from_the_first_column_that_holds_one(columns: dict[str, Any], hint: tuple[str, str]) -> None:
    row, _ = read_one({"question": "Why?", **columns})
    assert row.hint is not None
    assert (row.hint.text, row.hint.source) == hint


def test_a_mapping_overrides_all_rules_and_its_hint_is_the_solution() -> None:
    item = {"question": "ignored", "answer": "ignored", "q": "Why?", "a": 42, "how": "6 * 7"}
    row, report = read_one(item, parse_mapping('{"question": "q", "answer": "a", "hint": "how"}'))
    assert report.shape == "mapping"
    assert row.messages == QUESTION
    assert (row.reference.answer, row.reference.solution) == ("42", "6 * 7")
    assert row.hint is not None
    assert row.hint.source == "how"
    assert row.item == item


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"question": "q"}',
        '{"question": 1, "answer": "a"}',
        '{"question": "q", "answer": "a", "x": 1}',
        '{"hint": "h"}',
        '{"sheet": "s", "answer": "a"}',
        '{"header_row": 0}',
        '{"header_row": "2"}',
    ],
)
def test_a_mapping_with_missing_or_unknown_fields_is_refused(text: str) -> None:
    with pytest.raises(AppError) as refusal:
        parse_mapping(text)
    assert refusal.value.param == "mapping"


def test_a_mapping_to_a_missing_column_is_refused_with_the_names_of_the_others() -> None:
    with pytest.raises(AppError, match=r"'a'.*'q', 'b'") as refusal:
        read_one({"q": "Why?", "b": "x"}, ColumnMapping(question="q", answer="a"))
    assert refusal.value.param == "mapping"


@pytest.mark.parametrize("item", [{"text": "x"}, {"question": "q"}, {"answer": "a"}, {}])
def test_columns_that_fit_no_shape_are_named(item: dict[str, Any]) -> None:
    with pytest.raises(AppError) as refusal:
        read_one(item)
    assert refusal.value.code == "unknown_shape"
    assert all(column in refusal.value.message for column in item)


AMBIGUOUS = {
    "two questions": ({"question": "a", "prompt": "b", "answer": "c"}, "'question' and 'prompt'"),
    "two answers": ({"question": "a", "answer": "b", "ground_truth": "c"}, "'answer' and 'ground_truth'"),
    "two replies": ({"prompt": "a", "completion": "b", "response": "c"}, "'response' and 'completion'"),
    "a conversation and another question": (
        {"messages": [{"role": "user", "content": "a"}], "problem": "Who?", "answer": "c"},
        "'messages' and 'problem'",
    ),
    "a question before the last one": (
        {
            "conversations": [
                {"from": who, "value": text} for who, text in (("human", "b"), ("gpt", "z"), ("human", "a"))
            ],
            "prompt": "b",
            "answer": "c",
        },
        "'conversations' and 'prompt'",
    ),
    "a conversation and two answers": (
        {"messages": [{"role": "user", "content": "a"}], "answer": "b", "ground_truth": "c"},
        "'answer' and 'ground_truth'",
    ),
    "two spellings": ({"question": "a", "Answer": "b", "ANSWER": "c"}, "'Answer' and 'ANSWER'"),
}


@pytest.mark.parametrize(("item", "named"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_two_candidates_for_a_part_are_refused_by_name_and_a_mapping_decides(item: dict[str, Any], named: str) -> None:
    with pytest.raises(AppError) as refusal:
        read_one(item)
    assert refusal.value.code == "ambiguous_columns"
    assert named in refusal.value.message
    assert "`mapping`" in refusal.value.message
    question, *_, answer = item
    row, _report = read_one(item, ColumnMapping(question=question, answer=answer))
    assert (row.messages[-1]["content"], row.reference.answer) == ("a", "c")


@pytest.mark.parametrize("context", ["input", "context"])
def test_the_input_of_an_instruction_continues_the_question(context: str) -> None:
    row, report = read_one({"instruction": "Add.", context: "2 and 2", "output": "4"})
    assert row.messages == [{"role": "user", "content": "Add.\n\n2 and 2"}]
    assert report.columns["context"] == context


def test_a_row_that_repeats_the_names_of_the_columns_is_a_bad_row() -> None:
    with open_table(io.BytesIO(b"question,answer\nq,a\nQUESTION, answer\nr,b\n"), filename="a.csv") as table:
        report, image_store = Report(counted_in=table.counted_in), ImageStore(table.archive)
        rows = list(normal_rows(table, mapping=None, report=report, image_store=image_store))
    assert [row.line for row in rows] == [2, 4]
    assert [(problem.line, problem.code) for problem in report.problems] == [(3, "repeated_header")]


@pytest.mark.parametrize("question", ["question", "prompt", "query", "input", "instruction", "problem"])
@pytest.mark.parametrize("column", ["context", "Passage", "article", "documents", "story"])
def test_a_context_is_part_of_the_question_and_said_so(question: str, column: str) -> None:
    for asked, expected in (("Who?", "Who?\n\nAnn did."), (" ", "Ann did.")):
        row, report = read_one({question: asked, column: "Ann did.", "answer": "Ann"})
        assert row.messages[0]["content"] == expected
        assert report.notes == [f"The texts in '{column}' are part of the questions."]


def test_an_answer_that_is_an_object_or_a_list_is_said_to_be_read_as_its_json_text() -> None:
    place: dict[str, Any] = {"city": "Paris", "country": "France"}
    answers: list[Any] = [place, {**place, "city": "Lyon"}, ["Paris", "paris"], "Paris", 7]
    rows, report = read_all(lines(*({"question": "Where?", "answer": answer} for answer in answers)))
    assert [row.reference.right for row in rows] == [
        '{"city": "Paris", "country": "France"}',
        '{"city": "Lyon", "country": "France"}',
        '["Paris", "paris"]',
        "Paris",
        "7",
    ]
    assert report.notes == [
        "An object in 'answer' is the right answer as JSON text, whole: for a part of it, map its path, 'answer.KEY'.",
        "A list in 'answer' is the right answer as JSON text, whole: if any one of it is right, map 'answer.*'.",
    ]
    row, report = read_one(
        {"question": "Where?", "answer": place}, ColumnMapping(question="question", answer="answer.city")
    )
    assert (row.reference.answer, report.notes) == ("Paris", [])


@pytest.mark.parametrize("answer", [{"role": "assistant", "content": "a"}, "[1]"])
def test_an_answer_that_is_a_message_or_a_text_is_not_said_to_be_json(answer: Any) -> None:
    assert read_one({"question": "Where?", "answer": answer})[1].notes == []


@pytest.mark.parametrize("written", [[REPLY], REPLY, json.dumps([REPLY]), repr([REPLY]), json.dumps(REPLY)])
@pytest.mark.parametrize("column", ["completion", "answer", "response"])
def test_an_answer_that_is_a_message_is_read_as_its_text(written: object, column: str) -> None:
    row, _ = read_one({"prompt": QUESTION, column: written})
    assert row.reference.answer == "So."


@pytest.mark.parametrize("answer", [[*QUESTION, REPLY], [REPLY, REPLY], QUESTION, [{**REPLY, "content": None}]])
def test_an_right_answer_of_other_messages_is_a_bad_row(answer: object) -> None:
    _, report = read_all(lines({"prompt": "p", "completion": "a"}, {"prompt": "p", "completion": answer}))
    assert [(problem.line, problem.code) for problem in report.problems] in (
        [(2, "invalid_answer")],
        [(2, "missing_answer")],
    )


@pytest.mark.parametrize(
    "answer", ['[{"role": "admin", "content": "x"}]', '[{"name": "kim", "role": "user"}]', "[{'role'"]
)
def test_an_right_answer_of_other_objects_stays_text(answer: str) -> None:
    assert read_one({"prompt": "p", "answer": answer})[0].reference.answer == answer


@pytest.mark.parametrize("column", ["id", "idx", "index", "uuid", "source", "split"])
def test_what_tells_rows_apart_is_no_answer(column: str) -> None:
    row, report = read_one({"messages": QUESTION, column: "7"})
    assert (row.reference.answer, report.columns["answer"]) == (None, None)


def test_two_columns_for_the_text_after_a_question_are_refused_by_name() -> None:
    with pytest.raises(AppError, match="'input' and 'context' are candidates for the text after the question"):
        read_one({"instruction": "Add.", "input": "", "context": "2 and 2", "output": "4"})


@pytest.mark.parametrize("column", ["final_answer", "gold_answer"])
def test_a_final_answer_comes_before_its_solution(column: str) -> None:
    row, _ = read_one({"question": "Why?", "solution": "so", column: "a"})
    assert (row.reference.answer, row.reference.solution) == ("a", "so")


@pytest.mark.parametrize("answer", ["#### Sum\nIt is 4.", "a\n#### 1. Add\nb\n#### 2. Say\nIt is 4.\n"])
def test_a_heading_is_no_mark_of_the_answer(answer: str) -> None:
    row, _ = read_one({"question": "Why?", "answer": answer})
    assert (row.reference.answer, row.reference.solution) == (answer, None)
    assert right_answer_of({"question": "Why?", "answer": answer}) == answer


@pytest.mark.parametrize("mark", ["<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "[INST]"])
def test_a_question_in_a_chat_template_is_said_so(mark: str) -> None:
    _, report = read_one({"prompt": f"{mark}user Why?", "answer": "a"})
    assert report.notes == [
        f"Questions contain '{mark}', which chat templates write: give messages without it, or it is twice."
    ]


@pytest.mark.parametrize("index", ["", "Unnamed: 0", "__index_level_0__"])
def test_an_index_that_pandas_wrote_is_no_answer(index: str) -> None:
    table = f"{index},messages,verdict\n0,\"[{{'role': 'user', 'content': 'Why?'}}]\",yes\n"
    (row,), _ = read_all(io.BytesIO(table.encode()))
    assert (row.messages, row.reference.answer) == (QUESTION, "yes")
    _, report = read_all(lines({index: 0, "messages": QUESTION}))
    assert [problem.code for problem in report.problems] == ["missing_answer"]


def test_a_refusal_names_the_sheet_that_was_read_and_the_others() -> None:
    sheets = workbook([["Project", "Exam"], ["Author", "Kim"]], [["Frage", "Antwort"], ["a", "b"], ["c", "d"]])
    with pytest.raises(AppError) as refused:
        read_all(io.BytesIO(sheets))
    assert (refused.value.code, refused.value.param) == ("unknown_shape", "file")
    assert "'Frage', 'Antwort'" in refused.value.message
    assert refused.value.message.endswith("The sheet 's1' was read; others can be chosen with `sheet`: 's0'.")
    with pytest.raises(AppError) as refused:
        read_all(io.BytesIO(workbook([["Frage", "Antwort"], ["a", "b"]])))
    assert "sheet" not in refused.value.message


def test_a_column_name_of_any_length_is_cut_in_the_refusal() -> None:
    name = "a." * 5000 + "b"
    with pytest.raises(AppError) as refusal:
        read_one({"q": "Why?"}, ColumnMapping(question=name, answer="c"))
    assert len(refusal.value.message) < 500


BAD_ROWS = {
    "no question": ({"answer": "a"}, "missing_question"),
    "null question": ({"question": None, "answer": "a"}, "missing_question"),
    "blank question": ({"question": " \n", "answer": "a"}, "empty_question"),
    "a number for a question": ({"question": 5, "answer": "a"}, "invalid_messages"),
    "no answer": ({"question": "q"}, "missing_answer"),
    "null answer": ({"question": "q", "answer": None}, "missing_answer"),
    "blank answer": ({"question": "q", "answer": " "}, "empty_answer"),
    "nothing after the mark": ({"question": "q", "answer": "so\n####  "}, "empty_answer"),
    "an empty list of messages": ({"question": [], "answer": "a"}, "invalid_messages"),
    "a message that is a text": ({"question": ["Why?"], "answer": "a"}, "invalid_messages"),
    "a message without role": ({"question": [{"content": "Why?"}], "answer": "a"}, "invalid_messages"),
    "an unknown role": ({"question": [{"role": "robot", "content": "Why?"}], "answer": "a"}, "invalid_messages"),
    "no content": ({"question": [{"role": "user"}], "answer": "a"}, "invalid_messages"),
    "blank content": ({"question": [{"role": "user", "content": ""}], "answer": "a"}, "empty_question"),
    "an unknown part": (
        {"question": [{"role": "user", "content": [{"type": "video"}]}], "answer": "a"},
        "invalid_messages",
    ),
    "the assistant last": (
        {"question": [*QUESTION, {"role": "assistant", "content": "So."}], "answer": "a"},
        "last_message_not_user",
    ),
    "an image without an address": (
        {"question": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "answer": "a"},
        "image_count",
    ),
    "an image somewhere else": (
        {
            "question": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://a/b.png"}]}],
            "answer": "a",
        },
        "images_not_supported",
    ),
    "an image that is not base64": (
        {
            "question": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}]}
            ],
            "answer": "a",
        },
        "image_unreadable",
    ),
}


@pytest.mark.parametrize(("item", "code"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_row_that_cannot_be_used_is_a_bad_line(item: dict[str, Any], code: str) -> None:
    good = {"question": "q", "answer": "a"}
    rows, report = read_all(lines(good, item, good))
    assert [row.number for row in rows] == [0, 1]
    assert [row.line for row in rows] == [1, 3]
    assert [(problem.line, problem.code) for problem in report.problems] == [(2, code)]


def test_the_first_readable_row_decides_the_shape_for_all() -> None:
    file = io.BytesIO(b'oops\n{"question": "q", "answer": "a"}\n{"prompt": "p", "solution": "s"}\n')
    _, report = read_all(file)
    assert [(problem.line, problem.code) for problem in report.problems] == [
        (1, "invalid_json"),
        (3, "missing_question"),
    ]


def test_the_error_names_the_first_bad_line_and_counts_the_others() -> None:
    with pytest.raises(AppError) as refusal:
        read_rows(lines({"question": "q", "answer": "a"}, {"question": "q"}, {"answer": "a"}, 5), name="rows.jsonl")
    assert refusal.value.message == "rows.jsonl: line 2 has no 'answer'. 2 more bad lines: 3, 4."
    assert (refusal.value.code, refusal.value.param) == ("missing_answer", "file")


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_refused(content: bytes) -> None:
    with pytest.raises(AppError) as refusal:
        read_rows(io.BytesIO(content))
    assert refusal.value.code == "empty_file"


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        ({"question": "q", "answer": "w\n#### 7"}, "7"),
        ({"reference_answer": 3, "answer": "a"}, "3"),
        ({"solution": "s"}, "s"),
        ({"answer": None, "solution": "s"}, "s"),
        ({"other": "x"}, None),
        ({}, None),
    ],
)
def test_the_right_answer_of_a_pasted_row_is_found(item: dict[str, Any], answer: str | None) -> None:
    assert right_answer_of(item) == answer


@given(free_columns)
def test_any_row_survives_the_normal_form_and_its_json(columns: dict[str, Any]) -> None:
    item = {**columns, "question": "Why?", "answer": "a"}
    file = io.BytesIO(json.dumps(item).encode())
    (row,), _ = read_all(file, ColumnMapping(question="question", answer="answer"))
    assert row.item == item
    again = NormalRow.from_json(json.loads(json.dumps(row.to_json())), number=0, line=1)
    assert again == row


@given(
    st.lists(st.dictionaries(st.sampled_from(["question", "answer", "messages", "prompt"]), json_values), max_size=4)
)
def test_every_row_is_good_or_reported_whatever_its_columns(items: list[dict[str, Any]]) -> None:
    try:
        rows, report = read_all(lines(*items))
    except AppError:
        with pytest.raises(AppError, match=r"no known dataset format|candidates for the"):
            read_one(items[0])
        return
    assert len(rows) + len(report.problems) == len(items)
    for row in rows:
        assert row.messages[-1]["role"] == "user"
        assert row.reference.answer is None or row.reference.answer.strip()
