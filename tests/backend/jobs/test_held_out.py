"""Held-out rows: deterministic for a seed, and never equal to a training row."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import AppError
from backend.jobs.held_out import choose_rows, count_shared, shared_notices, split_held_out


@dataclass(frozen=True)
class Row:
    row_hash: str
    place: int


rows = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=60).map(
    lambda hashes: [Row(row_hash=h, place=i) for i, h in enumerate(hashes)]
)


@given(rows=rows, share=st.floats(0.01, 0.9), seed=st.integers(0, 2**31 - 1), limit=st.integers(2, 50))
def test_both_sides_are_disjoint_by_content_and_contain_only_given_rows(
    rows: list[Row], share: float, seed: int, limit: int
) -> None:
    try:
        training, held_out = split_held_out(rows, share=share, seed=seed, limit=limit)
    except ValueError:
        return
    assert {row.row_hash for row in training}.isdisjoint(row.row_hash for row in held_out)
    assert training
    assert 1 <= len(held_out) <= limit
    assert set(training) | set(held_out) <= set(rows)


@given(rows=rows, seed=st.integers(0, 2**31 - 1))
def test_the_order_of_the_file_does_not_change_what_is_held_out(rows: list[Row], seed: int) -> None:
    try:
        _, held_out = split_held_out(rows, share=0.2, seed=seed, limit=10)
    except ValueError:
        return
    _, again = split_held_out(rows[::-1], share=0.2, seed=seed, limit=10)
    assert sorted(row.row_hash for row in held_out) == sorted(row.row_hash for row in again)


def test_another_seed_holds_out_other_rows() -> None:
    many = [Row(row_hash=str(i), place=i) for i in range(200)]
    first, second = (split_held_out(many, share=0.1, seed=seed, limit=50)[1] for seed in (1, 2))
    assert first != second
    assert len(first) == len(second) == 20


def test_too_few_rows_are_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="add rows or use a validation file"):
        split_held_out([Row("a", 0), Row("b", 1)], share=0.5, seed=0, limit=10)


def test_a_large_validation_file_is_cut_to_the_limit_the_same_way_each_time() -> None:
    many = [Row(row_hash=str(i), place=i) for i in range(100)]
    assert choose_rows(many, training=[], seed=3, limit=7) == choose_rows(many[::-1], training=[], seed=3, limit=7)
    assert len(choose_rows(many, training=[], seed=3, limit=7)) == 7


@given(validation=rows, training=rows, seed=st.integers(0, 2**31 - 1))
def test_no_training_row_measures_and_each_that_is_left_out_is_counted(
    validation: list[Row], training: list[Row], seed: int
) -> None:
    chosen = choose_rows(validation, training=training, seed=seed, limit=100)
    assert {row.row_hash for row in chosen}.isdisjoint(row.row_hash for row in training)
    assert len(chosen) == len(validation) - count_shared(validation, training=training)


def test_the_warning_says_how_many_rows_are_left_and_none_left_is_refused() -> None:
    assert shared_notices(0, rows=5, filename="v.csv") == ()
    (notice,) = shared_notices(3, rows=5, filename="v.csv")
    assert notice.level == "warn"
    assert "3 of the 5 rows of the validation file 'v.csv'" in notice.message
    assert "2 are left" in notice.message
    with pytest.raises(AppError, match="none is left to measure"):
        shared_notices(5, rows=5, filename="v.csv")
    with pytest.raises(AppError, match="has 1 row that is not also in the training file: at least 2"):
        shared_notices(4, rows=5, filename="v.csv")
    with pytest.raises(AppError, match="has 1 row: at least 2"):
        shared_notices(0, rows=1, filename="v.csv")
