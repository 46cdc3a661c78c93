"""Filters: which rows each leaves out, and what makes no sense."""

import pytest
from pydantic import TypeAdapter, ValidationError

from backend.datasets.rows.rows import NormalRow, Reference
from backend.datasets.versions.change import edits_said, filters_said, next_name, sentence, side_name
from backend.datasets.versions.edits import AppendRow, DeleteRow, ReplaceRow, planned
from backend.datasets.versions.filters import Filter, QuestionLength, RowNumbers, SolveRate, TextFilter
from backend.errors import AppError

read: TypeAdapter[Filter] = TypeAdapter(Filter)


def row(question: str, answer: str | None = "42", solution: str | None = None) -> NormalRow:
    return NormalRow(
        number=0,
        line=1,
        messages=[{"role": "system", "content": "Be short."}, {"role": "user", "content": question}],
        reference=Reference(answer=answer, solution=solution),
        hint=None,
        item={},
        row_hash="x",
    )


@pytest.mark.parametrize(
    ("asked", "figures", "out"),
    [
        ({"never_solved": True}, (4, 0), True),
        ({"never_solved": True}, (4, 1), False),
        ({"always_solved": True}, (4, 4), True),
        ({"always_solved": True}, (4, 3), False),
        ({"min_rate": 0.5}, (4, 1), True),
        ({"min_rate": 0.5}, (4, 2), False),
        ({"max_rate": 0.5}, (4, 3), True),
        ({"max_rate": 0.5}, (4, 2), False),
        ({"never_solved": True}, (0, 0), False),
        ({"unseen": "leave_out"}, (0, 0), True),
        ({"unseen": "leave_out"}, (4, 0), False),
    ],
)
def test_solve_rates_leave_out_what_was_asked(asked: dict[str, object], figures: tuple[int, int], out: bool) -> None:
    rule = read.validate_python({"type": "solve_rate", "job": "j"} | asked)
    assert isinstance(rule, SolveRate)
    assert rule.leaves_out(graded=figures[0], solved=figures[1]) is out


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"type": "solve_rate", "job": "j"}, "say which rows"),
        ({"type": "solve_rate", "job": "j", "min_rate": 0.9, "max_rate": 0.1}, "above max_rate"),
        ({"type": "solve_rate", "job": "j", "min_rate": float("nan")}, "finite"),
        ({"type": "rows"}, "either keep or drop"),
        ({"type": "rows", "keep": [1], "drop": [2]}, "either keep or drop"),
        ({"type": "rows", "keep": [-1]}, "greater than or equal"),
        ({"type": "text", "contains": ""}, "at least 1"),
        ({"type": "colour"}, "does not match"),
        ({"type": "exact_duplicates", "most": 3}, "not permitted"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(asked: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        read.validate_python(asked)


def test_words_are_those_of_the_question_and_the_reference_in_any_case() -> None:
    with_text = TextFilter(type="text", contains="GASKET", leave_out="with")
    without = TextFilter(type="text", contains="GASKET", leave_out="without")
    for found in (row("Which gasket?"), row("?", "gasket"), row("?", None, "the Gasket")):
        assert with_text.leaves_out(found)
        assert not without.leaves_out(found)
    assert not with_text.leaves_out(row("Which valve?"))
    assert without.leaves_out(row("Which valve?", None))


def test_the_length_of_a_question_is_that_of_all_its_messages() -> None:
    length = len("Be short.\nWhy?")
    assert not QuestionLength(type="question_length", max_characters=length).leaves_out(row("Why?"))
    assert QuestionLength(type="question_length", max_characters=length - 1).leaves_out(row("Why?"))


def test_edits_are_sorted_out_and_a_row_is_named_once() -> None:
    plan = planned(
        [
            DeleteRow(op="delete", row=2),
            ReplaceRow(op="replace", row=0, item={"a": 1}),
            AppendRow(op="append", item={}),
        ],
        rows=3,
    )
    assert (plan.deleted, plan.replaced, plan.appended) == (frozenset({2}), {0: (1, {"a": 1})}, [(2, {})])
    with pytest.raises(AppError, match=r"edits\.1\.row: there is no row 3; .* from 0 to 2"):
        planned([DeleteRow(op="delete", row=0), DeleteRow(op="delete", row=3)], rows=3)
    with pytest.raises(AppError, match=r"edits\.1 names row 0, which edits\.0 has changed"):
        planned([DeleteRow(op="delete", row=0), ReplaceRow(op="replace", row=0, item={})], rows=3)


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("rows.jsonl", (), "rows.v2.jsonl"),
        ("rows.csv.gz", (), "rows.v2.jsonl"),
        ("rows.v2.jsonl", ("rows.v2.jsonl",), "rows.v3.jsonl"),
        ("rows.jsonl", ("rows.v2.jsonl", "rows.v3.jsonl"), "rows.v4.jsonl"),
        ("über.data", (), "über.data.v2.jsonl"),
        (".jsonl", (), "rows.v2.jsonl"),
        ("x" * 255, (), "x" * 235 + ".v2.jsonl"),
    ],
)
def test_a_version_is_named_after_the_file_by_the_next_number(name: str, taken: tuple[str, ...], expected: str) -> None:
    assert next_name(name, taken=taken) == expected


def test_what_was_done_is_said_in_words_and_figures() -> None:
    words, figures = edits_said(replaced=[7, 3], deleted=range(1000), appended=1)
    assert words == "2 rows rewritten (3, 7), 1,000 rows deleted, 1 row added"
    assert (figures["deleted"]["rows"], len(figures["deleted"]["numbers"])) == (1000, 100)
    rules = [
        SolveRate(type="solve_rate", job="ftjob-1", never_solved=True, max_rate=0.9),
        RowNumbers(type="rows", drop=list(range(500))),
    ]
    words, filters = filters_said(rules, left_out=[3, 1])
    assert words == "3 rows left out (never solved or solved above 90% in ftjob-1), 1 row left out (by number)"
    assert (filters[0]["left_out"], len(filters[1]["drop"]), filters[1]["named"]) == (3, 100, 500)
    assert sentence("one", "", "two") == "One; two."
    assert side_name("rows.v2.jsonl", side="train") == "rows.v2.train.jsonl"
