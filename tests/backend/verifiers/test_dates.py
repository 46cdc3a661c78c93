"""Which references are dates or times, and what is made of them."""

from datetime import date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.verifiers.dates import other_dates

FORMS = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%B %d, %Y", "%d %B %Y", "%b %d, %Y", "%Y年%m月%d日")


@given(st.dates(date(1000, 1, 1), date(9000, 12, 31)), st.sampled_from(FORMS))
def test_each_is_another_date_in_the_same_form(day: date, form: str) -> None:
    found = list(other_dates(day.strftime(form)))
    assert len(found) == 3
    assert all(_read(text, form) != day for text in found)


def _read(text: str, form: str) -> date | None:
    try:
        return datetime.strptime(text, form).date()
    except ValueError:
        return None  # such as February 30


@given(st.times())
def test_each_is_another_time(moment: time) -> None:
    text = f"{moment:%H:%M:%S}"
    found = list(other_dates(text))
    assert len(found) == 3
    assert all(time.fromisoformat(each) != moment.replace(microsecond=0) for each in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("March 15, 2024", ["March 16, 2024", "March 15, 2025", "April 15, 2024"]),
        ("31st of December 1999", ["30 of December 1999", "31st of December 2000", "31st of January 1999"]),
        ("2. März 2024", ["3. März 2024", "2. März 2025"]),
        ("10:30 p.m.", ["11:30 p.m.", "10:29 p.m."]),
        ("2024-03-15T10:00", ["2025-03-15T10:00", "2024-04-15T10:00", "2024-03-16T10:00"]),
        ("12", []),
        ("3-1", []),
        ("3/4", []),
        ("12,000", []),
        ("Paris, France", []),
        ("Born in 1879.", []),
    ],
)
def test_dates_and_what_is_none(text: str, expected: list[str]) -> None:
    assert list(other_dates(text))[: len(expected) or None] == expected
