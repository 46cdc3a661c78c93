"""Altered right answers: near the right one, never equal to it, and only of texts of a known form."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.verifiers.alterations import COMMON, MAX_ALTERATIONS, Change, Scale, alterations
from backend.verifiers.notation import plain
from backend.verifiers.numerals import DecimalMark, numerals
from backend.verifiers.reference_forms import UNITS, elements, sample_of_forms, signature
from worker.sandbox.choice import finder
from worker.sandbox.number import number

WHOLE = st.integers(-(10**9), 10**9)
BARE = st.one_of(
    WHOLE.map(str),
    WHOLE.map(lambda value: f"{value:,}"),
    st.decimals(-99_999, 99_999, places=3).map(str),
    st.builds(lambda top, bottom: f"{top}/{bottom}", st.integers(1, 99), st.integers(1, 99)),
    st.builds(lambda top, power: f"{top}e{power}", st.integers(1, 99), st.integers(-9, 9)),
)
NUMBERS = BARE | st.integers(1, 99_999).map(lambda value: f"${value}")
# Of money `m` is a million: `$1 m` has another value than `$1 km`.
QUANTITIES = st.builds(lambda value, unit: f"{value} {unit}", BARE, st.sampled_from([*UNITS, "apples"]))
SEEDS = st.integers(0, 99)


def values(text: str, mark: DecimalMark = ".") -> list[Decimal]:
    return [numeral.value for numeral in numerals(plain(text), decimal_mark=mark)]


def changed(reference: str, change: Change, *, scale: Scale = COMMON) -> list[str]:
    return [each.text for each in alterations(reference, scale=scale, seed=0) if each.change is change]


@given(NUMBERS | QUANTITIES, SEEDS, st.sampled_from([".", ","]))
def test_an_altered_number_never_has_the_value_of_the_right_one(text: str, seed: int, mark: DecimalMark) -> None:
    for each in alterations(text, scale=Scale(decimal_mark=mark, units=UNITS, factors={}), seed=seed):
        assert (values(each.text, mark) == values(text, mark)) == (each.change is Change.UNIT)
        assert each.text != text


@given(NUMBERS, SEEDS, st.sampled_from([0.0, 3.5, "2%", "60%"]))
def test_no_altered_number_is_right_by_the_number_grader_within_its_tolerance(
    text: str, seed: int, tolerance: float | str
) -> None:
    widths = (tolerance, 0.0) if isinstance(tolerance, float) else (0.0, float(tolerance.rstrip("%")) / 100)
    score = number({"tolerances": widths, "units": {}, "decimal_mark": "."})
    scale = Scale(tolerance=widths, units=UNITS, factors={})
    for each in alterations(text, scale=scale, seed=seed):
        assert score(each.text, text) != 1.0
        scored = score(each.text, text)
        assert not isinstance(scored, float)
        assert scored.score == 0.0, each


@given(st.integers(1, 9999), st.sampled_from(["km", "m", "cm"]), SEEDS)
def test_another_unit_of_a_verifier_is_another_length(value: int, unit: str, seed: int) -> None:
    factors = {"km": 1000.0, "m": 1.0, "metre": 1.0, "cm": 0.01}
    scale = Scale(tolerance=(0.0, 0.02), units={u: [o for o in factors if o != u] for u in factors}, factors=factors)
    score = number({"tolerances": (0.0, 0.02), "units": factors, "decimal_mark": "."})
    reference = f"{value} {unit}"
    found = alterations(reference, scale=scale, seed=seed)
    assert Change.UNIT in {each.change for each in found}
    for each in found:
        scored = score(each.text, reference)
        assert not isinstance(scored, float)
        assert scored.score == 0.0, each


@given(st.text(max_size=120) | st.text("0123456789.,-+/^e kM$€\\{}()[]|±=xor%×·½⁻²~;\n", max_size=80), SEEDS)
@example("0^0", 0)
def test_any_text_gives_a_few_other_texts_and_the_same_ones_for_the_same_seed(text: str, seed: int) -> None:
    found = alterations(text, seed=seed)
    assert found == alterations(text, seed=seed)
    assert len(found) <= MAX_ALTERATIONS
    assert len({each.text for each in found}) == len(found)
    assert text.strip() not in {each.text for each in found}


def test_the_seed_decides_which_digit_is_changed() -> None:
    assert len({changed_digit for seed in range(20) for changed_digit in _digits("4711", seed)}) > 1


def _digits(text: str, seed: int) -> list[str]:
    return [each.text for each in alterations(text, seed=seed) if each.change is Change.DIGIT]


@pytest.mark.parametrize(
    ("reference", "change", "expected"),
    [
        ("12,000", Change.FACTOR, ["12,000,000", "12"]),
        ("1,234.5", Change.FACTOR, ["1,234,500", "1.2345"]),
        ("-$72", Change.SIGN, ["$72"]),
        ("$5$", Change.SIGN, ["$-5$"]),
        (r"$\boxed{5}$", Change.SIGN, [r"$\boxed{-5}$"]),
        ("5 m^2", Change.UNIT, ["5 cm^2"]),
        (r"5\text{ m^2}", Change.UNIT, ["5  cm^2"]),
        (r"3\sqrt{13}", Change.PART, ["13", "3"]),
        ("2x", Change.PART, ["2"]),
        ("x=1 or x=-4", Change.PART, ["-4", "1"]),
        ("x=1 or x=-4", Change.ELEMENT, ["x=1", "x=-4"]),
        ("B and C", Change.ELEMENT, ["B", "C"]),
        ("(1, 2)", Change.ELEMENT, ["(1)", "(2)"]),
        ('["red", "green"]', Change.ELEMENT, ['["red"]', '["green"]']),
        ("red, green, blue", Change.ELEMENT, ["red, green", "green, blue"]),
        ("1,000, 2,000", Change.ELEMENT, ["1,000", "2,000"]),
        ("Yes", Change.CHOICE, ["no"]),
        ("false", Change.CHOICE, ["true"]),
        ("March 15, 2024", Change.DATE, ["March 16, 2024", "March 15, 2025", "April 15, 2024"]),
        ("12.25", Change.NEAR, ["12.75", "11.75", "12.65", "11.85"]),
        ("-1,234.5 kg", Change.NEAR, ["-1,234 kg", "-1,235 kg", "-1,234.1 kg", "-1,234.9 kg"]),
        ("0.3", Change.NEAR, ["0.8", "0.7"]),
        ("5", Change.NEAR, ["6"]),
        ("-7", Change.NEAR, ["-6"]),
        ("12,000", Change.NEAR, ["12,001", "11,400"]),
        ("1009 kg", Change.NEAR, ["1010 kg", "959 kg"]),
        ("New York", Change.PART, ["New"]),
        ("Not on Sundays.", Change.PART, ["Not"]),
        ("2024-03-15", Change.DATE, ["2025-03-15", "2024-04-15", "2024-03-16"]),
    ],
)
def test_what_is_altered_in_answers_of_each_form(reference: str, change: Change, expected: list[str]) -> None:
    assert changed(reference, change) == expected


@pytest.mark.parametrize(
    ("reference", "change", "why"),
    [
        ("x = 5", Change.PART, "5 is what x equals"),
        ("5 apples", Change.PART, "a unit may be left out"),
        ("12:30", Change.PART, "12 may be the same time"),
        ("5 ± 0", Change.PART, "5 lies within"),
        ("0", Change.SIGN, "-0 is 0"),
        ("0", Change.FACTOR, "1000 times 0 is 0"),
        ("3rd", Change.SIGN, "no third is negative"),
        ("2, 2", Change.ELEMENT, "as a set they are equal"),
        ("[0, 1)", Change.ELEMENT, "an interval is no list"),
        ("Paris, France", Change.ELEMENT, "the country may be left out"),
        ("B", Change.CHOICE, "no other choice is known"),
        ("5 1/2", Change.NEAR, "a fraction is not rounded"),
        ("the Beatles", Change.PART, "the article may be left out"),
        ("yes it is", Change.PART, "yes is the answer"),
        ("B. New York", Change.PART, "B is the choice"),
        ("Paris (France)", Change.PART, "the country may be left out"),
        ("car or automobile", Change.WORD, "no other answer is known"),
    ],
)
def test_what_may_be_right_as_well_is_not_made(reference: str, change: Change, why: str) -> None:
    assert not changed(reference, change), why


@pytest.mark.parametrize("text", ["", "pi", "Albert Einstein was born in 1879.", "SELECT 1 FROM sold", "9" * 81])
def test_other_texts_are_not_altered(text: str) -> None:
    assert alterations(text, seed=0) == []


@pytest.mark.parametrize(
    ("reference", "others", "expected"),
    [
        ("New York", ["New Jersey", "Albert Einstein"], ["New Jersey", "Albert York"]),
        ("New York", ["Albert Einstein"], ["New Einstein", "Albert York"]),
        ("New York", ["New York City", "new york", "5 km", "Paris"], []),
        ("Barack Obama", ["President Obama"], []),
    ],
)
def test_words_are_taken_from_answers_that_do_not_mean_the_same(
    reference: str, others: list[str], expected: list[str]
) -> None:
    scale = Scale(units=UNITS, factors={}, references=[reference, *others])
    assert changed(reference, Change.WORD, scale=scale) == expected


@pytest.mark.parametrize(
    ("reference", "others", "part", "words"),
    [
        ("Slovakia", ["Slovenia", "Hungary"], ["Slov"], ["Slovenia", "Slovakiq"]),
        ("orange", ["oranges", "Orange", "quince"], ["ora"], ["orangq"]),
        ("Iraq", ["Iran"], [], []),
        ("Iraqq", [], ["Ira"], ["Iraqx"]),
    ],
)
def test_one_word_is_altered_at_its_end(reference: str, others: list[str], part: list[str], words: list[str]) -> None:
    scale = Scale(units=UNITS, factors={}, references=[reference, *others])
    assert changed(reference, Change.PART, scale=scale) == part
    assert changed(reference, Change.WORD, scale=scale) == words


@given(st.sampled_from("ABCD"), SEEDS)
def test_another_choice_is_one_that_the_verifier_finds(right: str, seed: int) -> None:
    find = finder("ABCD")
    scale = Scale(units=UNITS, factors={}, choices="ABCD")
    for reference in (right, f"({right})", right.lower()):
        (altered,) = alterations(reference, scale=scale, seed=seed)
        assert altered.change is Change.CHOICE
        assert find(altered.text) in set("ABCD") - {right}


@given(st.lists(st.sampled_from(["12", "7", "1,500", "3.5", "5 km", "9 km", "-4", "x = 2"]), max_size=20))
def test_a_sample_has_a_reference_of_each_form_before_a_second_of_any(texts: list[str]) -> None:
    forms = {signature(text) for text in texts}
    places = sample_of_forms(texts, count=len(forms))
    assert {signature(texts[place]) for place in places} == forms
    every = sample_of_forms(texts, count=99)
    assert len(every) == len(set(texts))
    assert {texts[place] for place in every} == set(texts)


@given(st.lists(st.integers(-99_999, 99_999).map(lambda value: f"{value:,}"), min_size=2, max_size=6, unique=True))
def test_a_group_of_digits_does_not_end_an_element(parts: list[str]) -> None:
    text = "; ".join(parts)
    assert [text[start:end].strip() for start, end in elements(text, decimal_mark=".")] == parts
