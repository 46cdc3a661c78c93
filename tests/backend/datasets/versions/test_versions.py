"""Versions, splits and differences in the database: nothing is lost, and kept rows are unchanged."""

import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.reading.store import store_dataset
from backend.datasets.versions.create import Split, new_version, split
from backend.datasets.versions.difference import difference
from backend.datasets.versions.edits import AppendRow, DeleteRow, Edit, ReplaceRow
from backend.db.engine import transaction
from backend.db.files import DatasetRow, File
from backend.db.projects import DEFAULT_PROJECT
from backend.errors import AppError

pytestmark = pytest.mark.usefixtures("clean_database")

Item = dict[str, Any]
in_the_database = examples(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = 6
ITEMS = [{"question": f"{number % 4}?", "answer": str(number % 3)} for number in range(ROWS + 1)]
items = st.fixed_dictionaries(
    {"question": st.text("abß😀", min_size=1, max_size=5), "answer": st.sampled_from(["x", "y"])},
    optional={"note": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers()},
)
changes = st.dictionaries(st.integers(0, ROWS), st.none() | items, max_size=ROWS)
"""By row: its new item, or None if it is deleted."""


def stored(session: Session, given_items: list[Item]) -> File:
    content = "".join(json.dumps(item) + "\n" for item in given_items).encode()
    return store_dataset(session, io.BytesIO(content), project=DEFAULT_PROJECT, filename="rows.jsonl", mapping=None)


def rows_of(session: Session, file: File) -> list[DatasetRow]:
    found = select(DatasetRow).where(DatasetRow.file_id == file.id).order_by(DatasetRow.number)
    return list(session.scalars(found))


def edits_of(changed: dict[int, Item | None], appended: list[Item]) -> list[Edit]:
    return [
        *(
            DeleteRow(op="delete", row=row) if item is None else ReplaceRow(op="replace", row=row, item=item)
            for row, item in changed.items()
        ),
        *(AppendRow(op="append", item=item) for item in appended),
    ]


@in_the_database
@given(changed=changes, appended=st.lists(items, max_size=3))
def test_edits_give_the_expected_items_and_leave_other_rows_unchanged(
    changed: dict[int, Item | None], appended: list[Item]
) -> None:
    expected = [item for row, old in enumerate(ITEMS) if (item := changed.get(row, old)) is not None] + appended
    with transaction() as session:
        parent = stored(session, ITEMS)
        before = rows_of(session, parent)
        if not expected or json.dumps(expected) == json.dumps(ITEMS):
            with pytest.raises(AppError, match=r"Nothing would|No change was requested"):
                new_version(
                    session,
                    parent.id,
                    project=parent.project_id,
                    edits=edits_of(changed, appended),
                    filters=[],
                    filename=None,
                )
            return
        file = new_version(
            session, parent.id, project=parent.project_id, edits=edits_of(changed, appended), filters=[], filename=None
        )
        after = rows_of(session, file)
        assert [json.dumps(row.normal["item"]) for row in after] == [json.dumps(item) for item in expected]
        assert [(row.number, row.line, row.normal["id"]) for row in after] == [
            (place, place + 1, f"row-{place}") for place in range(len(expected))
        ]
        kept = [row.row_hash for row in before if row.number not in changed]
        hashes = iter(row.row_hash for row in after)
        assert all(row_hash in hashes for row_hash in kept)  # in their order
        content = blobs.read(session, file.sha256)
        assert [json.dumps(json.loads(line)) for line in content.splitlines()] == [json.dumps(i) for i in expected]
        assert (file.size_bytes, file.row_count, file.report["good"]) == (len(content), len(expected), len(expected))
        again = store_dataset(
            session, io.BytesIO(content), project=DEFAULT_PROJECT, filename="rows.jsonl", mapping=None
        )
        assert [(row.row_hash, row.normal) for row in rows_of(session, again)] == [
            (row.row_hash, row.normal) for row in after
        ]
        assert {key: again.report[key] for key in file.report} == file.report
        assert [(row.row_hash, row.normal) for row in rows_of(session, parent)] == [
            (row.row_hash, row.normal) for row in before
        ]


@in_the_database
@given(changed=changes, appended=st.lists(items, max_size=3))
def test_a_difference_accounts_for_every_row_of_both_files(
    changed: dict[int, Item | None], appended: list[Item]
) -> None:
    expected = [item for row, old in enumerate(ITEMS) if (item := changed.get(row, old)) is not None] + appended
    with transaction() as session:
        file, other = stored(session, ITEMS), stored(session, expected or ITEMS)
        before, after = rows_of(session, file), rows_of(session, other)
        found = difference(session, file, to=other, offset=0, limit=100)
        assert found.same + found.removed + found.changed == len(before)
        assert found.same + found.added + found.changed == len(after)
        assert len(found.listed) == found.added + found.removed + found.changed
        unlisted = [
            sorted(row.row_hash for row in rows if row.number not in {getattr(each, side) for each in found.listed})
            for rows, side in ((before, "row"), (after, "other_row"))
        ]
        assert unlisted[0] == unlisted[1]  # what is not listed is the same in both
        for each in found.listed:
            assert each.item == (None if each.row is None else before[each.row].normal["item"])
            assert each.other_item == (None if each.other_row is None else after[each.other_row].normal["item"])
        pages = [
            difference(session, file, to=other, offset=place, limit=1).listed for place in range(len(found.listed))
        ]
        assert [each for page in pages for each in page] == list(found.listed)


def test_a_changed_row_is_paired_with_its_former_version_next_to_removed_rows() -> None:
    old = [{"question": f"{name}?", "answer": name} for name in "abcdef"]
    new = [old[0], {"question": "c?", "answer": "C"}, {"question": "Which d?", "answer": "d"}, old[5]]
    with transaction() as session:
        found = difference(session, stored(session, old), to=stored(session, new), offset=0, limit=10)
    assert [(each.change, each.row, each.other_row) for each in found.listed] == [
        ("removed", 1, None),
        ("changed", 2, 1),
        ("changed", 3, 2),
        ("removed", 4, None),
    ]


def test_a_reordered_file_has_no_different_rows() -> None:
    old = [{"question": f"{name}?", "answer": name} for name in "abc"]
    with transaction() as session:
        found = difference(session, stored(session, old), to=stored(session, old[::-1]), offset=0, limit=10)
    assert (found.same, found.added, found.removed, found.changed) == (3, 0, 0, 0)


@in_the_database
@given(
    answers=st.lists(st.sampled_from("xyz"), min_size=4, max_size=25),
    seed=st.integers(0, 2**31 - 1),
    by=st.sampled_from([None, "answer", "level"]),
)
def test_the_two_sides_of_a_split_are_the_file(answers: list[str], seed: int, by: str | None) -> None:
    given_items = [{"question": f"{n}?", "answer": answer, "level": n % 2} for n, answer in enumerate(answers)]
    with transaction() as session:
        parent = stored(session, given_items)
        wanted = Split(share=0.3, rows=None, seed=seed, stratify_by=by)
        train, validation = split(session, parent.id, wanted, project=parent.project_id)
        sides = [[row.normal["item"] for row in rows_of(session, side)] for side in (train, validation)]
        assert sorted(sides[0] + sides[1], key=json.dumps) == sorted(given_items, key=json.dumps)
        assert all(side == [item for item in given_items if item in side] for side in sides)  # in their order
        assert validation.row_count == max(2, round(0.3 * len(given_items)))
        again = split(session, parent.id, wanted, project=parent.project_id)
        assert [side.sha256 for side in again] == [train.sha256, validation.sha256]
