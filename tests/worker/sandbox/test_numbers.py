"""Numbers are read as people write them: any listed form comes back exactly, and a changed digit never scores."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.verifiers.numerals import guess_decimal_mark, numerals, plain
from backend.verifiers.specs import parse_spec
from tests.worker.sandbox.verifiers import sample
from worker.sandbox.number import number


def last(text, mark="."):
    found = list(numerals(plain(text), decimal_mark=mark))
    return found[-1].value if found else None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12,000", "12000"),
        ("12,000.50", "12000.5"),
        ("1,00,000", "100000"),
        ("9{,}500", "9500"),
        (r"10,\!080", "10080"),
        (r"9\,500", "9500"),
        ("9 500", "9500"),
        ("9 500 000", "9500000"),
        ("9\u00a0500", "9500"),
        ("9\u202f500,25", "9500.25"),
        ("9'500", "9500"),
        ("CHF 9’500.50", "9500.5"),
        ("1.234,50", "1234.5"),
        ("1.234.567", "1234567"),
        ("0,125", "0.125"),
        ("-$72", "-72"),
        ("$-72", "-72"),
        (r"\$72", "72"),
        ("−72", "-72"),
        ("€1,250", "1250"),
        ("US$ 3.5", "3.5"),
        ("10^6", "1000000"),
        ("10^{6}", "1000000"),
        ("10⁶", "1000000"),
        (r"2.5 \times 10^{-3}", "0.0025"),
        ("2.5×10⁻³", "0.0025"),
        ("3 · 10^4", "30000"),
        ("4 x 10^5", "400000"),
        ("1e-3", "0.001"),
        ("2^10", "1024"),
        ("1/2", "0.5"),
        ("1 1/2", "1.5"),
        ("1½", "1.5"),
        (r"\frac{3}{4}", "0.75"),
        (r"-\frac{3}{4}", "-0.75"),
        (r"1\frac{1}{2}", "1.5"),
        ("12 k", "12000"),
        ("12k€", "12000"),
        ("3 M", "3000000"),
        ("1.2bn", "1200000000"),
        ("2 million", "2000000"),
        ("The total is 9,500 EUR.", "9500"),
        ("x = -5.", "-5"),
        (".5", "0.5"),
        ("1.", "1"),
    ],
)
def test_a_number_is_read_in_any_form(text, value):
    assert last(text) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3-4", "4"),
        ("between 3–4", "4"),
        ("- 72", "72"),
        ("In 2020 500 people", "500"),
        ("300 K", "300"),
        ("12 kg", "12"),
        ("2 B", "2"),
        ("3 x 4", "4"),
        ("1,234 and 5", "5"),
        ("(1,5)", "5"),
        ("3/4/2024", "2024"),
        ("7^2 = 49", "49"),
    ],
)
def test_what_only_looks_like_another_number_is_not_read_so(text, value):
    assert last(text) == Decimal(value)


@pytest.mark.parametrize("text", ["9^9999", "1/0", "none", "", "-"])
def test_what_is_no_number_is_none(text):
    assert last(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234,50", "1234.5"),
        ("12.000", "12000"),
        ("1,5", "1.5"),
        ("1.5", "1.5"),
        ("1234,567", "1234.567"),
        ("1,234,567", "1234567"),
        ("1,234.56", "1234.56"),
        ("3,5 Mrd.", "3500000000"),
        ("2,5 · 10^3", "2500"),
        ("12,000", "12"),
    ],
)
def test_with_a_decimal_comma(text, value):
    assert last(text, ",") == Decimal(value)


@pytest.mark.parametrize(
    ("references", "mark", "certain"),
    [
        (["5", "7"], ".", True),
        (["12,000", "5"], ".", False),
        (["1.500", "2.250"], ".", False),
        (["1,234.5", "12,000"], ".", True),
        (["1.5", "12,000"], ".", True),
        (["1.234,50", "1.500"], ",", True),
        (["1,5", "12,000"], ",", True),
        (["1,50 €", "2,25 €", "1.200 €"], ",", True),
        (["1,5", "2,5", "3.5"], ",", False),
        (["$1,250.00", "900"], ".", True),
        (["no number"], ".", True),
    ],
)
def test_a_columns_decimal_mark_follows_from_the_values_that_can_be_read_in_one_way(references, mark, certain):
    found = guess_decimal_mark(references)
    assert (found.decimal_mark, found.certain) == (mark, certain)


@st.composite
def written(draw):
    """(value, how it is written, the column's decimal mark)."""
    mark, other = draw(st.sampled_from([(".", ","), (",", ".")]))
    whole = draw(st.integers(0, 10**9))
    decimals = draw(st.sampled_from(["", "5", "25", "0625"]))
    gap = draw(st.sampled_from(["", other, "\u00a0", "\u202f", "'"]))
    text = f"{whole:,}".replace(",", gap) + (mark + decimals if decimals else "")
    sign = draw(st.sampled_from(["", "-", "−"]))
    money = draw(st.sampled_from(["", "$", "€"]))
    value = Decimal(f"{whole}.{decimals or 0}")
    around = draw(st.sampled_from(["{}", "The answer is {}.", "= {} EUR", "so\n{}", "**{}**", r"$\boxed{{{}}}$"]))
    return (-value if sign else value), around.format(sign + money + text), mark


@given(written())
def test_a_written_number_is_read_back(case):
    value, text, mark = case
    assert last(text, mark) == value


@given(written(), st.integers(0, 30), st.integers(1, 9))
def test_a_changed_digit_never_scores(case, place, shift):
    _, text, mark = case
    digits = [index for index, letter in enumerate(text) if letter.isdigit()]
    at = digits[place % len(digits)]
    changed = text[:at] + str((int(text[at]) + shift) % 10) + text[at + 1 :]
    score = number({"tolerances": (0.0, 0.0), "units": {}, "decimal_mark": mark})
    assert score(text, text).score == 1.0
    assert score(changed, text).score == 0.0


CASES = json.loads((Path(__file__).parent / "reported.json").read_text())


@pytest.mark.parametrize(("kind", "reference", "text", "score"), [(k, *case) for k in CASES for case in CASES[k]])
def test_reported_cases_score_right(sandbox, kind, reference, text, score):
    """Kinds of answers that graders elsewhere were reported to misread."""

    options = {"choices": ["A", "B", "C", "D"]} if kind == "choice" else {}
    (record,) = sandbox.grade(parse_spec({"type": kind, **options}), [sample(text, answer=reference)])
    assert record.score == score, record


LONG = 50_000
ENDLESS = (
    "1",
    "1,11",
    "1,111",
    "1 ",
    "1.",
    "1/",
    "1^",
    "-",
    "1 x ",
    "(",
    "*",
    " ",
    "A ",
    "A is ",
    "\n",
    "<answer>",
    "\\boxed{",
)


@pytest.mark.parametrize("repeated", ENDLESS)
def test_a_model_that_repeats_itself_is_read_within_the_time_of_a_row(sandbox, repeated):
    """Expressions that go back over the text again and again would end the row instead, without a score."""
    text = (repeated * LONG)[:LONG]
    for spec in ({"type": "number"}, {"type": "choice"}):
        reference = "12,345.5" if spec["type"] == "number" else "C"
        (record,) = sandbox.grade(parse_spec(spec), [sample(text, answer=reference)])
        assert (record.status.value, record.score) == ("ok", 0.0), record.reason
