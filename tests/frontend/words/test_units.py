from zoneinfo import ZoneInfo

import pytest

from frontend.words import units


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (42.4, "42 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (3600, "1 h")]
)
def test_durations_name_their_two_largest_units(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(("size_bytes", "text"), [(450, "450 B"), (1500, "1.5 kB"), (3_200_000, "3.2 MB")])
def test_sizes_have_a_unit(size_bytes: int, text: str) -> None:
    assert units.size(size_bytes) == text


def test_moments_are_in_the_viewers_zone() -> None:
    assert units.moment(1_795_434_859, ZoneInfo("UTC")) == "23 Nov 2026, 11:54"
    assert units.moment(1_795_434_859, ZoneInfo("America/New_York")) == "23 Nov 2026, 06:54"


@pytest.mark.parametrize(
    ("done", "total", "expected"), [(1, 4, 0.25), (5, 4, 1.0), (0, 0, 0.0), (3, 0, 0.0), (-1, 4, 0.0), (2, -1, 0.0)]
)
def test_a_share_is_between_0_and_1_for_any_total(done: int, total: int, expected: float) -> None:
    assert units.share(done, total) == expected


def test_counts_agree_with_their_noun() -> None:
    assert units.count(1, "row") == "1 row"
    assert units.count(1204, "row") == "1,204 rows"
