"""The report on a file: repeated and odd rows, lengths, distribution of answers."""

import io
import json
import random
import tracemalloc
from typing import Any

import pytest

from backend.datasets.analysis.overlap import overlap
from backend.datasets.reading.store import OnBadRows, store_dataset
from backend.db.engine import transaction
from backend.db.files import File
from backend.db.projects import DEFAULT_PROJECT
from backend.errors import AppError

pytestmark = pytest.mark.usefixtures("clean_database")


def stored(*items: Any, on_bad_rows: OnBadRows = OnBadRows.REJECT) -> tuple[str, dict[str, Any]]:
    content = b"".join((item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in items)
    with transaction() as session:
        file = store_dataset(
            session,
            io.BytesIO(content),
            project=DEFAULT_PROJECT,
            filename="rows.jsonl",
            mapping=None,
            on_bad_rows=on_bad_rows,
        )
        return file.id, file.report


def row(question: str, answer: str = "yes") -> dict[str, str]:
    return {"question": question, "answer": answer}


def test_good_rows_are_kept_on_request() -> None:
    items = [row("one"), b"{oops", row("two"), {"question": "three"}]
    with pytest.raises(AppError, match=r"line 2 is not JSON.* 1 more bad line: 4"):
        stored(*items)
    _, report = stored(*items, on_bad_rows=OnBadRows.TAKE_GOOD)
    assert (report["rows"], report["good"], report["bad"], report["on_bad_rows"]) == (4, 2, 2, "take_good")
    assert [(problem["line"], problem["code"]) for problem in report["problems"]] == [
        (2, "invalid_json"),
        (4, "missing_answer"),
    ]
    with pytest.raises(AppError, match="line 1 is not JSON"):
        stored(b"{oops", on_bad_rows=OnBadRows.TAKE_GOOD)


def test_all_problems_are_counted_and_a_thousand_listed() -> None:
    _, report = stored(row("one"), *[b"7"] * 1500, on_bad_rows=OnBadRows.TAKE_GOOD)
    assert (report["bad"], len(report["problems"])) == (1500, 1000)


def test_lengths_and_short_answers_are_counted() -> None:
    _, report = stored(*(row("x" * n, "yes" if n % 4 else "no") for n in range(1, 101)))
    histogram = report["lengths"]["question"].pop("histogram")
    assert report["lengths"]["question"] == {"min": 1, "median": 50.5, "mean": 50.5, "p95": 95.05, "max": 100}
    assert (histogram[0], histogram[-1]["high"]) == ({"low": 1, "high": 5, "rows": 5}, 100)
    assert report["lengths"]["solution"] is None
    assert report["answers"]["most"] == [{"answer": "yes", "rows": 75}, {"answer": "no", "rows": 25}]
    assert (report["answers"]["short"], report["answers"]["distinct"]) == (100, 2)


def test_the_languages_of_the_questions_are_reported() -> None:
    english, german = (
        "Which approval does a laser of twelve thousand euros need?",
        "Wer genehmigt den Kauf dieses Ventils?",
    )
    _, report = stored(row(english), row(german), row(f"{english} Why?"), row("3 * 4 = ?"))
    assert report["languages"] == {
        "checked": 4,
        "found": [{"language": "en", "rows": 2}, {"language": "de", "rows": 1}, {"language": "und", "rows": 1}],
    }


def test_equal_rows_and_near_duplicate_questions_are_distinguished() -> None:
    words = [f"word{n}" for n in range(60)]
    other = [*words[:59], "end"]
    _, report = stored(row("first"), row(" ".join(words)), row("first"), row(" ".join(other)), row("first"))
    group = {"first": 1, "rows": 3, "others": [3, 5], "number": 0, "other_numbers": [2, 4], "question": "first"}
    assert report["duplicates"] == {"rows": 2, "groups": [group]}
    near = report["near_duplicates"]
    assert (near["checked"], near["rows"]) == (5, 1)
    [pair] = near["pairs"]
    assert (pair["line"], pair["like"], pair["number"], pair["like_number"]) == (4, 2, 3, 1)
    assert pair["question"] == f"{' '.join(other)[:160]}…"


def test_odd_texts_are_accepted_with_a_warning() -> None:
    _, report = stored(row("ok"), row("caf\ufffd"), row("CafÃ©"), row("bell \x07"), row("tab\tand\nline, élan"))
    assert report["good"] == 5
    assert [(warning["line"], warning["code"]) for warning in report["warnings"]] == [
        (2, "replacement_character"),
        (3, "misread_encoding"),
        (4, "control_character"),
    ]


def test_a_single_answer_that_is_not_a_number_is_odd() -> None:
    _, report = stored(*(row(f"{n}?", str(n)) for n in range(40)), row("last?", "forty or so"))
    assert [(warning["line"], warning["code"]) for warning in report["warnings"]] == [(41, "odd_reference")]


def test_rows_shared_by_two_files_are_found_by_row_and_by_question() -> None:
    train, _ = stored(row("a", "1"), row("b", "2"), row("c", "3"))
    held_out, _ = stored(row("x", "9"), row("b", "2"), row("c", "other"))
    with transaction() as session:
        found = overlap(session, session.get_one(File, held_out), against=session.get_one(File, train))
    assert (found["rows"], found["questions"]) == (1, 2)
    assert found["pairs"] == [
        {"line": 2, "their_line": 2, "same_row": True, "number": 1, "their_number": 1, "question": "b"},
        {"line": 3, "their_line": 3, "same_row": False, "number": 2, "their_number": 2, "question": "c"},
    ]


def test_all_repeated_and_shared_rows_are_counted_and_a_hundred_listed() -> None:
    twice = [row(f"{n}?", str(n)) for n in range(150)]
    train, report = stored(*twice, *twice, row("0?", "0"))
    assert (report["duplicates"]["rows"], len(report["duplicates"]["groups"])) == (151, 100)
    held_out, _ = stored(*(row(f"{n}?", str(n) if n % 3 else "other") for n in range(150)))
    with transaction() as session:
        found = overlap(session, session.get_one(File, held_out), against=session.get_one(File, train))
    assert (found["questions"], found["rows"], len(found["pairs"])) == (150, 100, 100)


@pytest.mark.slow
def test_a_long_file_takes_bounded_memory() -> None:
    class Rows(io.RawIOBase):
        """About 130 MB of different rows, made as they are read."""

        def __init__(self) -> None:
            self.number, self.left = 0, b""

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, place: int, whence: int = 0, /) -> int:
            assert (place, whence) in ((0, 0), (0, 1))
            if whence == 0:
                self.number, self.left = 0, b""
            return 0

        def readinto(self, buffer: Any, /) -> int:
            if not self.left and self.number < 6_000:
                made = random.Random(self.number)
                words = " ".join(str(made.random()) for _ in range(100))
                self.left = json.dumps(row(words, str(self.number)) | {"padding": "x" * 20_000}).encode() + b"\n"
                self.number += 1
            count = min(len(buffer), len(self.left))
            buffer[:count], self.left = self.left[:count], self.left[count:]
            return count

    with transaction() as session:
        tracemalloc.start()
        try:
            file = store_dataset(
                session, io.BufferedReader(Rows()), project=DEFAULT_PROJECT, filename="long.jsonl", mapping=None
            )
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (file.row_count, file.report["near_duplicates"]["checked"]) == (6_000, 6_000)
    assert peak_bytes < 60_000_000
