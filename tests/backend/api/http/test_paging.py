"""Cursors that outsiders send: read strictly, never trusted."""

import pytest

from backend.api.http.paging import numbers_of
from backend.api.jobs.stream.messages import StreamPosition
from backend.errors import AppError


def test_the_numbers_of_an_id_are_found() -> None:
    assert numbers_of("rollout-12-3", pattern=r"rollout-(\d+)-(\d+)") == [12, 3]
    assert numbers_of(None, pattern=r"(\d+)") is None


@pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "1\n", "١", "9" * 13, "1; DROP TABLE jobs"])
def test_what_is_no_id_of_the_list_is_refused(after: str) -> None:
    with pytest.raises(AppError) as refusal:
        numbers_of(after, pattern=r"(\d+)")
    assert (refusal.value.status, refusal.value.param) == (400, "after")


def test_a_place_in_a_stream_survives_its_spelling() -> None:
    place = StreamPosition(event=7, step=120, evaluation_us=1_790_000_000_000_000, rollouts=119)
    assert StreamPosition.parse(str(place)) == place


@pytest.mark.parametrize(
    "text", ["", "1", "1-2", "1-2-3", "1-2-3-4-5", "a-b-c-d", "-1-2-3-4", "1-2-3-" + "9" * 40, "1-2-3-4\n"]
)
def test_what_is_no_place_in_a_stream_is_refused(text: str) -> None:
    with pytest.raises(AppError):
        StreamPosition.parse(text)
