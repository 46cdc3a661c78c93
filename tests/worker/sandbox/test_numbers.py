"""Numbers are read as people write them: any listed form comes back exactly, and a changed digit never scores."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend.verifiers.notation import plain
from backend.verifiers.numerals import numerals
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
    assert last(text) == Fraction(value)


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
    assert last(text) == Fraction(value)


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
    assert last(text, ",") == Fraction(value)


AROUND = (
    "{}",
    "The answer is {}.",
    "= {} EUR",
    "so\n{}",
    "**{}**",
    r"$\boxed{{{}}}$",
    "<answer>{}</answer>",
    "#### {}",
)
SIGNS = ("", "", "-", "−", "minus ", "-(")


@st.composite
def grouped(draw):
    """(value, how it is written, the column's decimal mark) of a number with groups and decimals."""
    mark, other = draw(st.sampled_from([(".", ","), (",", ".")]))
    whole = draw(st.integers(0, 10**9))
    decimals = draw(st.sampled_from(["", "5", "25", "0625"]))
    gap = draw(st.sampled_from(["", other, "\u00a0", "\u202f", "\u2007", "'", r"\,", f"{{{other}}}"]))
    text = f"{whole:,}".replace(",", gap) + (mark + decimals if decimals else "")
    money = draw(st.sampled_from(["", "$", "€", "CHF "]))
    return Fraction(f"{whole}.{decimals or 0}"), money + text, mark


@st.composite
def raised(draw):
    """The same of a number with a power of ten, or of a power."""
    mantissa, exponent = Fraction(draw(st.integers(1, 999)), 100), draw(st.integers(-9, 12))
    written = str(float(mantissa))
    forms = ["{}e{}", r"{} \times 10^{{{}}}", "{}×10^{}", "{} x 10^({})", "{} * 10**{}", r"{}\cdot10^{{{}}}"]
    return mantissa * Fraction(10) ** exponent, draw(st.sampled_from(forms)).format(written, exponent), "."


@st.composite
def fractions(draw):
    """The same of a fraction or a mixed number."""
    top, bottom = draw(st.integers(1, 99)), draw(st.integers(2, 99))
    whole = draw(st.sampled_from([None, 1, 7, 12]))
    form = draw(st.sampled_from(["{}/{}", "{} / {}", r"\frac{{{}}}{{{}}}", r"\dfrac{{{}}}{{{}}}"]))
    text = form.format(top, bottom)
    return (whole or 0) + Fraction(top, bottom), text if whole is None else f"{whole} {text}", "."


@st.composite
def scaled(draw):
    """The same of a number with a scale."""
    word, power = draw(
        st.sampled_from([("k", 3), (" k", 3), (" thousand", 3), ("M", 6), (" million", 6), (" Mrd.", 9)])
    )
    number = draw(st.integers(1, 9999))
    return Fraction(number) / 10 * 10**power, f"{number / 10}{word}", "."


@st.composite
def written(draw):
    """(value, text, the column's decimal mark) of a number in any of the forms, with a sign, in a text."""
    value, text, mark = draw(st.one_of(grouped(), raised(), fractions(), scaled()))
    sign = draw(st.sampled_from(SIGNS))
    text = sign + text + (")" if sign == "-(" else "")
    return (-value if sign else value), draw(st.sampled_from(AROUND)).format(text), mark


def score(text, reference, mark):
    return number({"tolerances": (0.0, 0.0), "units": {}, "decimal_mark": mark})(text, reference).score


@given(written())
def test_a_written_number_is_read_back(case):
    value, text, mark = case
    plainly = f"{value.numerator}/{value.denominator}"
    assert score(text, plainly, mark) == 1.0
    assert score(plainly, text, mark) == 1.0


@given(written(), st.integers(0, 30), st.integers(1, 9))
def test_a_changed_digit_never_scores(case, place, shift):
    value, text, mark = case
    digits = [index for index, letter in enumerate(text) if letter.isdigit()]
    at = digits[place % len(digits)]
    changed = text[:at] + str((int(text[at]) + shift) % 10) + text[at + 1 :]
    same = last(plain_part(changed), mark) == value
    assert score(text, text, mark) == 1.0
    assert score(changed, text, mark) == float(same)
    assert not same or "/" in text or "frac" in text or "10" in text  # 2/4 is 1/2, and the last of 1.1 × 11^1 is 11


def plain_part(text):
    return text.removeprefix("<answer>").removesuffix("</answer>").removeprefix("#### ")


TWO_NUMBERS = [
    *("{} or {}", "between {} and {}", "{} oder {}", "{}, {}", "{} and {}", "{}; {}", "{} to {}", "{}-{}", "{} – {}"),
    *("It is {} to {}.", "x = {}, {}", "the answers are {} and {}", r"\boxed{{{}}}, \boxed{{{}}}", "{}+{}", "{} < {}"),
]


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(TWO_NUMBERS))
def test_neither_of_two_numbers_scores_that_are_left_open_or_listed(first, second, form):
    assume(first != second)
    text = form.format(first, second)
    assert score(text, str(first), ".") == score(text, str(second), ".") == 0.0
