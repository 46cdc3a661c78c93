"""Filters: which rows each leaves out, and which settings are refused."""

import pytest
from pydantic import TypeAdapter, ValidationError

from backend.datasets.rows.references import Reference
from backend.datasets.rows.rows import NormalRow
from backend.datasets.versions.change import describe_edits, describe_filters, next_name, sentence, side_name
from backend.datasets.versions.edits import AppendRow, DeleteRow, ReplaceRow, plan_edits
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
    ("fields", "figures", "out"),
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
def test_solve_rate_filters_leave_out_rows(fields: dict[str, object], figures: tuple[int, int], out: bool) -> None:
    rule = read.validate_python({"type": "solve_rate", "job": "j"} | fields)
    assert isinstance(rule, SolveRate)
    assert rule.leaves_out(graded=figures[0], solved=figures[1]) is out


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "solve_rate", "job": "j"}, "set at least one of"),
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
def test_an_invalid_filter_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read.validate_python(fields)


def test_text_filters_search_question_and_reference_case_insensitively() -> None:
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


def test_edits_are_sorted_by_kind_and_a_row_is_named_once() -> None:
    plan = plan_edits(
        [
            DeleteRow(op="delete", row=2),
            ReplaceRow(op="replace", row=0, item={"a": 1}),
            AppendRow(op="append", item={}),
        ],
        rows=3,
    )
    assert (plan.deleted, plan.replaced, plan.appended) == (frozenset({2}), {0: (1, {"a": 1})}, [(2, {})])
    with pytest.raises(AppError, match=r"edits\.1\.row: there is no row 3; .* from 0 to 2"):
        plan_edits([DeleteRow(op="delete", row=0), DeleteRow(op="delete", row=3)], rows=3)
    with pytest.raises(AppError, match=r"edits\.1 names row 0, which edits\.0 already changes"):
        plan_edits([DeleteRow(op="delete", row=0), ReplaceRow(op="replace", row=0, item={})], rows=3)


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


def test_changes_are_described_as_text_and_figures() -> None:
    text, figures = describe_edits(replaced=[7, 3], deleted=range(1000), appended=1)
    assert text == "2 rows rewritten (3, 7), 1,000 rows deleted, 1 row added"
    assert (figures["deleted"]["rows"], len(figures["deleted"]["numbers"])) == (1000, 100)
    rules = [
        SolveRate(type="solve_rate", job="ftjob-1", never_solved=True, max_rate=0.9),
        RowNumbers(type="rows", drop=list(range(500))),
    ]
    text, filters = describe_filters(rules, left_out=[3, 1])
    assert text == "3 rows left out (never solved or solved above 90% in ftjob-1), 1 row left out (by number)"
    assert (filters[0]["left_out"], len(filters[1]["drop"]), filters[1]["named"]) == (3, 100, 500)
    assert sentence("one", "", "two") == "One; two."
    assert side_name("rows.v2.jsonl", side="train") == "rows.v2.train.jsonl"
