"""Cursors from clients are parsed strictly."""

import pytest

from backend.api.http.paging import numbers_in_id
from backend.api.jobs.stream.messages import StreamPosition
from backend.errors import AppError


def test_numbers_in_id() -> None:
    assert numbers_in_id("rollout-12-3", pattern=r"rollout-(\d+)-(\d+)") == [12, 3]


@pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "1\n", "١", "9" * 13, "1; DROP TABLE jobs"])
def test_invalid_cursor_is_refused(after: str) -> None:
    with pytest.raises(AppError) as refusal:
        numbers_in_id(after, pattern=r"(\d+)")
    assert (refusal.value.status, refusal.value.param) == (400, "after")


def test_stream_position_survives_formatting() -> None:
    position = StreamPosition(event=7, step=120, evaluation_us=1_790_000_000_000_000, rollouts=119)
    assert StreamPosition.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", "1", "1-2", "1-2-3", "1-2-3-4-5", "a-b-c-d", "-1-2-3-4", "1-2-3-" + "9" * 40, "1-2-3-4\n"]
)
def test_invalid_stream_position_is_refused(text: str) -> None:
    with pytest.raises(AppError):
        StreamPosition.parse(text)
