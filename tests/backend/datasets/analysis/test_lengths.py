import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.datasets.analysis.lengths import BARS, Lengths


def lengths_of(values: list[int]) -> Lengths:
    lengths = Lengths()
    for value in values:
        lengths.add(value)
    return lengths


@given(values=st.lists(st.integers(0, 5_000_000), min_size=1, max_size=300))
def test_the_quantiles_equal_numpys_and_every_text_is_in_one_bar(values: list[int]) -> None:
    found = lengths_of(values).to_json()
    assert found is not None
    median, p95 = np.percentile(values, [50, 95])
    assert (found["min"], found["max"]) == (min(values), max(values))
    assert found["median"] == pytest.approx(median, abs=0.01)
    assert found["p95"] == pytest.approx(p95, abs=0.01)
    assert found["mean"] == pytest.approx(np.mean(values), abs=0.06)
    bars = found["histogram"]
    assert len(bars) <= BARS
    assert (bars[0]["low"], bars[-1]["high"] >= max(values)) == (min(values), True)
    assert all(one["high"] + 1 == other["low"] for one, other in itertools.pairwise(bars))
    assert [bar["rows"] for bar in bars] == [sum(bar["low"] <= v <= bar["high"] for v in values) for bar in bars]


def test_one_very_long_text_does_not_flatten_the_others() -> None:
    found = lengths_of([*range(200), 1_000_000]).to_json()
    assert found is not None
    assert sum(bar["rows"] > 0 for bar in found["histogram"]) > 10


def test_without_texts_there_is_no_distribution() -> None:
    assert Lengths().to_json() is None


def test_texts_above_a_limit_are_counted() -> None:
    assert lengths_of([1, 2, 2, 3]).above(2) == 1
