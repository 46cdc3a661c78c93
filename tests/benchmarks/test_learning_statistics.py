"""The median of the learning benchmark, against numbers worked out by hand."""

from benchmarks.learning.statistics import median_or_never


def test_never_counts_as_later_than_any_step():
    assert median_or_never([10, None, 30]) == 30
    assert median_or_never([10, None, None]) is None
    assert median_or_never([10, 20, None, None]) is None
    assert median_or_never([10, 20, 30, None]) == 25
