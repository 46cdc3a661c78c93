"""Each kind of bad line is reported with its own code and the line number; good lines are returned unchanged."""

import io
import json
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.datasets.formats.json_lines import MAX_DEPTH, MAX_LINE_BYTES, RawRow, json_lines
from backend.datasets.formats.problems import Problem
from backend.datasets.rows.paths import canonical
from backend.datasets.rows.recognise import IMAGE_COLUMNS, TOOLS

GOOD = b'{"question": "q", "answer": "a"}\n'
TOO_LONG = b'{"question": "' + b"x" * MAX_LINE_BYTES + b'"}\n'

BAD_LINES = {
    "cut short": (b'{"question": "q", "answer"\n', "invalid_json"),
    "two objects": (b'{"a": 1} {"b": 2}\n', "invalid_json"),
    "single quotes": (b"{'a': 1}\n", "invalid_json"),
    "trailing comma": (b'{"a": 1,}\n', "invalid_json"),
    "a comment": (b"// rows\n", "invalid_json"),
    "pretty printed": (b"{\n", "invalid_json"),
    "raw control character": (b'{"a": "x\x01"}\n', "invalid_json"),
    "bad escape": (b'{"a": "\\q"}\n', "invalid_json"),
    "comma separated values": (b"question,answer\n", "invalid_json"),
    "a list": (b'[{"question": "q"}]\n', "not_an_object"),
    "a number": (b"42\n", "not_an_object"),
    "null": (b"null\n", "not_an_object"),
    "a text": (b'"question"\n', "not_an_object"),
    "true": (b"true\n", "not_an_object"),
    "a NUL byte": (b'{"a": "x\x00"}\n', "nul_character"),
    "an escaped NUL": (b'{"a": "x\\u0000"}\n', "nul_character"),
    "an escaped NUL in a key": (b'{"a": [{"k\\u0000": 1}]}\n', "nul_character"),
    "latin-1": ('{"a": "é"}\n'.encode("latin-1"), "invalid_utf8"),
    "overlong UTF-8": (b'{"a": "\xc0\xaf"}\n', "invalid_utf8"),
    "raw surrogate bytes": (b'{"a": "\xed\xa0\x80"}\n', "invalid_utf8"),
    "a lone high surrogate": (b'{"a": "\\ud83d"}\n', "lone_surrogate"),
    "a lone low surrogate": (b'{"a": "\\udc00 and on"}\n', "lone_surrogate"),
    "a lone surrogate in a key": (b'{"\\ud83d": 1}\n', "lone_surrogate"),
    "a key twice": (b'{"answer": "a", "answer": "b"}\n', "duplicate_key"),
    "a key twice deep inside": (b'{"a": [{"b": {"c": 1, "c": 1}}]}\n', "duplicate_key"),
    "NaN": (b'{"a": NaN}\n', "invalid_number"),
    "Infinity": (b'{"a": [Infinity]}\n', "invalid_number"),
    "minus Infinity": (b'{"a": -Infinity}\n', "invalid_number"),
    "beyond a float": (b'{"a": 1e999}\n', "number_too_large"),
    "too many digits": (b'{"a": ' + b"9" * 5000 + b"}\n", "number_too_large"),
    "nested too deep": (b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}\n", "too_deep"),
    "nested beyond the parser": (b"[" * 100_000 + b"]" * 100_000 + b"\n", "too_deep"),
    "too long": (TOO_LONG, "line_too_long"),
}


def read(content: bytes) -> list[RawRow | Problem]:
    return list(json_lines(io.BytesIO(content)))


@pytest.mark.parametrize(("line", "code"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_reported_by_number_and_its_neighbours_are_read(line: bytes, code: str) -> None:
    before, problem, after = read(GOOD + b"\n" + line + GOOD)
    assert isinstance(problem, Problem)
    assert (problem.line, problem.code) == (3, code)
    assert isinstance(before, RawRow)
    assert isinstance(after, RawRow)
    assert (before.line, after.line) == (1, 4)


def test_messages_read_as_sentences_and_name_the_position() -> None:
    (problem,) = read(b'{"a": 1, "b" 2}\n')
    assert isinstance(problem, Problem)
    assert problem.message == "is not JSON: Expecting ':' delimiter at character 14"


def test_blank_lines_are_skipped_but_counted() -> None:
    rows = read(b"\n  \t\r\n" + GOOD + b"\r\n\n" + GOOD)
    assert [row.line for row in rows] == [3, 6]


def test_the_last_line_needs_no_newline_and_windows_newlines_are_stripped() -> None:
    rows = read(b'{"a": 1}\r\n{"a": 1}')
    assert [row.item for row in rows if isinstance(row, RawRow)] == [{"a": 1}, {"a": 1}]


def test_the_deepest_allowed_nesting_is_read() -> None:
    levels = MAX_DEPTH - 1
    (row,) = read(b'{"a": ' + b"[" * levels + b"]" * levels + b"}")
    assert isinstance(row, RawRow)


def test_many_brackets_are_not_mistaken_for_depth() -> None:
    (row,) = read(json.dumps({"a": [[] for _ in range(1000)]}).encode())
    assert isinstance(row, RawRow)


def test_a_backslash_before_u0000_is_not_a_nul() -> None:
    (row,) = read(b'{"a": "\\\\u0000"}')
    assert isinstance(row, RawRow)
    assert row.item == {"a": "\\u0000"}


def test_a_line_of_exactly_the_limit_is_read() -> None:
    frame = b'{"a": ""}'
    (row,) = read(frame[:-2] + b"x" * (MAX_LINE_BYTES - len(frame)) + frame[-2:])
    assert isinstance(row, RawRow)


def test_one_endless_line_takes_bounded_memory() -> None:
    class Endless(io.RawIOBase):
        """256 MiB without a newline, generated on reading."""

        left = 256 * 1024 * 1024

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            count = min(len(buffer), self.left)
            buffer[:count] = b"x" * count
            self.left -= count
            return count

    tracemalloc.start()
    try:
        (problem,) = json_lines(io.BufferedReader(Endless(), buffer_size=1024 * 1024))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(problem, Problem)
    assert problem.code == "line_too_long"
    assert peak_bytes < 6 * MAX_LINE_BYTES


def test_the_hash_depends_on_the_content_not_on_the_spelling() -> None:
    one, same, other = read(b'{"a": 1, "b": "\\u00e9"}\n{ "b":"\xc3\xa9","a":1 }\n{"a": 2, "b": "\xc3\xa9"}\n')
    assert isinstance(one, RawRow)
    assert isinstance(same, RawRow)
    assert isinstance(other, RawRow)
    assert one.row_hash == same.row_hash != other.row_hash


storable_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | storable_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(storable_text, inner, max_size=4),
    max_leaves=20,
)
free_columns = st.dictionaries(
    storable_text.filter(lambda name: canonical(name) not in (*IMAGE_COLUMNS, *TOOLS)), json_values, max_size=5
)
"""Columns that may have any value, unlike those of images and tools."""


@given(st.lists(st.dictionaries(storable_text, json_values, max_size=5), max_size=5), st.booleans())
def test_any_json_object_is_read_as_it_is(items: list[dict[str, Any]], ascii_only: bool) -> None:
    content = b"".join(json.dumps(item, ensure_ascii=ascii_only).encode() + b"\n" for item in items)
    rows = read(content)
    assert [row.item for row in rows if isinstance(row, RawRow)] == items
    assert [json.dumps(row.item) for row in rows if isinstance(row, RawRow)] == list(map(json.dumps, items))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    for found in read(content):
        assert found.line >= 1
        if isinstance(found, RawRow):
            assert all(math.isfinite(v) for v in found.item.values() if isinstance(v, float))
            json.dumps(found.item, ensure_ascii=False).encode()
