"""How references were read: what was left out, and which were taken for the same though they differ."""

import pytest

from backend.verifiers.readouts import Readout, ReadReference, lost_choices, lost_text, read_alike


@pytest.mark.parametrize(
    ("reference", "part", "lost"),
    [
        ("12,000", "12,000", ""),
        ("$72", "$72", ""),
        ("50%", "50", ""),
        (r"10,\!080", "10,080", ""),
        (r"\frac{1}{2}", "1/2", ""),
        ("1/2", r"\frac{1}{2}", ""),
        ("5 km/h", "5", "km/h"),
        ("10 to 20", "20", "10 to"),
        ("between 3 and 4 m", "3", "between … and 4 m"),
        ("x=1 or x=-4", "x=1, x=-4", ""),
        ("x=1 or x=-4", "-4", "x=1 or x="),
        (r"5 \text{ cm}", "5", "cm"),
        (r"2\pi", r"2\pi", ""),
    ],
)
def test_words_and_numbers_outside_what_was_read_are_lost(reference: str, part: str, lost: str) -> None:
    assert lost_text(reference, Readout("", part)) == lost


def test_nothing_is_lost_that_was_only_rewritten() -> None:
    assert lost_text("5 million", Readout("", r"5\cdot 10^{6}", r"5\cdot 10^{6}")) == ""
    assert lost_text("5 million euros", Readout("", r"5\cdot 10^{6}", r"5\cdot 10^{6} euros")) == "euros"


@pytest.mark.parametrize(
    ("reference", "lost"), [("B and C", "C"), ("(B), D", "D"), ("B", ""), ("B. A big dog", ""), ("b/c/d", "c, d")]
)
def test_other_choices_in_a_list_are_lost(reference: str, lost: str) -> None:
    assert lost_choices(reference, Readout("B", "B"), choices="ABCD") == lost


def pairs(*references: tuple[str, str, str]) -> list[tuple[str, str]]:
    read = [ReadReference("", text, Readout(value, text), lost) for text, value, lost in references]
    return [(one.reference, other.reference) for one, other in read_alike(read)]


def test_references_that_differ_but_are_read_alike_are_found() -> None:
    assert pairs(("12,000", "12", ""), ("12", "12", "")) == [("12,000", "12")]
    assert pairs(("5 km/h", "5", "km/h"), ("5 mph", "5", "mph"), ("5 m", "5", "m")) == [("5 km/h", "5 mph")]
    assert pairs(("B and C", "B", "C"), ("B", "B", "")) == [("B and C", "B")]


def test_two_ways_to_write_a_value_are_no_difference() -> None:
    same = [("12,000", "12000", ""), ("12000", "12000", ""), ("12000.0", "12000", "")]
    assert pairs(*same, ("0.5", "0.5", ""), ("1/2", "0.5", ""), (".50", "0.5", ""), ("0.500", "0.5", "")) == []


def test_a_reference_that_cannot_be_read_is_like_no_other() -> None:
    assert read_alike([ReadReference("", "?", None), ReadReference("", "!", None)]) == []
