"""A split puts every row on one side: deterministic in the seed, stratified, equal rows together."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.datasets.analysis.leakage import RowPlacement, stratum_of, validation_count, validation_side

strata = st.lists(st.sampled_from("abcde"), min_size=4, max_size=60)
seeds = st.integers(0, 2**31 - 1)


def different(names: list[str]) -> list[RowPlacement]:
    return [RowPlacement(number, f"hash{number}", name) for number, name in enumerate(names)]


@given(names=strata, seed=seeds, share=st.floats(0.05, 0.9))
def test_every_stratum_gives_its_share_within_one_row_and_the_whole_exactly(
    names: list[str], seed: int, share: float
) -> None:
    rows = different(names)
    count = min(validation_count(len(rows), share=share), len(rows) - 1)
    validation = validation_side(rows, count=count, seed=seed)
    assert len(validation) == count
    assert validation <= {row.number for row in rows}
    given_by = Counter(row.stratum for row in rows if row.number in validation)
    for name, size in Counter(names).items():
        assert abs(given_by[name] - count * size / len(rows)) < 1


@given(names=strata, seed=seeds)
def test_the_same_seed_gives_the_same_rows_in_any_order(names: list[str], seed: int) -> None:
    rows = different(names)
    count = max(2, len(rows) // 3)
    validation = validation_side(rows, count=count, seed=seed)
    assert validation_side(rows, count=count, seed=seed) == validation
    assert validation_side(rows[::-1], count=count, seed=seed) == validation


def test_another_seed_chooses_other_rows() -> None:
    rows = different(["a"] * 50)
    assert len({frozenset(validation_side(rows, count=10, seed=seed)) for seed in range(5)}) == 5


@given(copies=st.lists(st.integers(1, 6), min_size=2, max_size=30), seed=seeds, share=st.floats(0.05, 0.9))
def test_equal_rows_stay_together(copies: list[int], seed: int, share: float) -> None:
    hashes = [f"hash{name}" for name, times in enumerate(copies) for _ in range(times)]
    rows = [RowPlacement(number, row_hash) for number, row_hash in enumerate(hashes)]
    try:
        validation = validation_side(rows, count=validation_count(len(rows), share=share), seed=seed)
    except ValueError:
        return
    inside = {row.row_hash for row in rows if row.number in validation}
    outside = {row.row_hash for row in rows if row.number not in validation}
    assert inside
    assert outside
    assert not inside & outside


@pytest.mark.parametrize(("hashes", "count"), [(["x", "x", "x"], 2), (["x", "y"], 2), (["x"], 2), (["x", "y", "z"], 3)])
def test_a_side_without_enough_rows_is_refused(hashes: list[str], count: int) -> None:
    with pytest.raises(ValueError, match="too few"):
        validation_side([RowPlacement(n, row_hash) for n, row_hash in enumerate(hashes)], count=count, seed=0)


def test_a_stratum_is_a_short_answer_or_the_value_of_a_column() -> None:
    normal = {"reference": {"answer": " yes "}, "item": {"level": {"n": 3}, "none": None}}
    assert stratum_of(normal, by="answer") == "yes"
    assert stratum_of({"reference": {"answer": "x" * 41}}, by="answer") == ""
    assert stratum_of(normal, by="level.n") == "3"
    assert stratum_of(normal, by="none") == "null"
    assert stratum_of(normal, by="absent") == ""
