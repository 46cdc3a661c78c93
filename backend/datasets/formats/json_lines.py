"""Strict JSON Lines reader: bytes to raw rows, one in memory at a time; each error is reported with its line.

Stricter than `json.loads`, so that accepted rows survive the database unchanged and mean the same to every reader: no
duplicate keys, no NaN, no NUL, no lone surrogates. Rows of other formats pass the same checks (`raw_row`).
Not covered: detecting a file's format (`rows.source`) and JSON lists (`json_lists`).
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Never

from backend.datasets.formats.problems import Problem

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64
BLANK = " \t\r\n"


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as written in the file. `line`, from 1: where it begins, or its number in a table without lines.

    `row_hash`: SHA-256 of its canonical JSON.
    """

    line: int
    item: dict[str, Any]
    row_hash: str


class BadLineError(ValueError):
    """A line that cannot be read; `str()` continues a sentence that begins with "line 7"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def json_lines(file: BinaryIO) -> Iterator[RawRow | Problem]:
    """Yield each non-blank line, in order, as a row or as a problem."""
    for number, line in enumerate(_lines(file), start=1):
        try:
            item = parse_line(line)
            if item is not None:
                yield RawRow(line=number, item=item, row_hash=row_hash(item))
        except BadLineError as error:
            yield Problem(line=number, code=error.code, message=str(error), read=as_text(line))


def as_text(line: bytes) -> str | None:
    """Decode a line; None if it is too long or not text that can be stored."""
    try:
        return None if len(line) > MAX_LINE_BYTES or b"\0" in line else line.decode().strip(BLANK)
    except UnicodeDecodeError:
        return None


def raw_row(item: dict[str, Any], *, line: int) -> RawRow:
    """Build a row from another format under the same rules. Raises BadLineError."""
    if not _is_shallow(item):
        raise BadLineError("too_deep", f"is nested deeper than {MAX_DEPTH} levels")
    if any("\0" in text for text in _texts(item)):
        raise BadLineError("nul_character", "contains a NUL character")
    return RawRow(line=line, item=item, row_hash=row_hash(item))


def row_hash(item: dict[str, Any]) -> str:
    """Hash a row's canonical JSON. Raises BadLineError for values that UTF-8 or JSON cannot represent."""
    try:
        canonical = json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()
    except UnicodeEncodeError as error:
        escape = f"\\u{ord(error.object[error.start]):04x}"
        raise BadLineError(
            "lone_surrogate", f"contains an unpaired surrogate ({escape}), which is not valid text"
        ) from None
    except ValueError:
        raise BadLineError("number_too_large", "contains a number beyond the range of a 64-bit float") from None


def parse_text(text: str, *, where: str) -> Any:
    """Parse a JSON text inside the row at `where`, under the same rules as a line. Raises BadLineError."""
    try:
        return raw_row({"text": _decoded(text.strip(BLANK))}, line=1).item["text"]
    except BadLineError as error:
        raise BadLineError(error.code, f"has a text in '{where:.60}' that {error}") from None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines, each cut after `MAX_LINE_BYTES` + 1 bytes."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        rest = line
        while not rest.endswith(b"\n") and len(rest) > MAX_LINE_BYTES:
            rest = file.readline(MAX_LINE_BYTES + 1)
        yield line


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Parse the object on the line; None for a blank line. Raises BadLineError."""
    if len(line) > MAX_LINE_BYTES:
        raise BadLineError("line_too_long", f"is longer than {MAX_LINE_BYTES // 1024**2} MiB")
    if b"\0" in line:
        raise BadLineError("nul_character", "contains a NUL byte")
    try:
        text = line.decode().strip(BLANK)
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise BadLineError(
            "invalid_utf8", f"is not UTF-8: byte {error.start + 1} is 0x{byte:02x}; save the file as UTF-8"
        ) from None
    if not text:
        return None
    item = _decoded(text, unfinished="; a row must be on a single line")
    if not isinstance(item, dict):
        raise BadLineError("not_an_object", f"is {_kind(item)}, not a JSON object in braces")
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and not _is_shallow(item):
        raise BadLineError("too_deep", f"is nested deeper than {MAX_DEPTH} levels")
    if "\\u0000" in text and any("\0" in found for found in _texts(item)):
        raise BadLineError("nul_character", "contains a NUL character (\\u0000)")
    return item


def _decoded(text: str, *, unfinished: str = "") -> object:
    """Parse JSON. `unfinished` continues the message on a text that ends too early."""
    try:
        value: object = _decoder.decode(text)
    except json.JSONDecodeError as error:
        hint = unfinished if error.pos >= len(text) else ""
        raise BadLineError("invalid_json", f"is not JSON: {error.msg} at character {error.pos + 1}{hint}") from None
    except RecursionError:
        raise BadLineError("too_deep", f"is nested deeper than {MAX_DEPTH} levels") from None
    except BadLineError:
        raise
    except ValueError:
        raise BadLineError("number_too_large", "contains a number with too many digits") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadLineError("duplicate_key", f"has the key {twice!r:.80} twice")
    return item


def _no_constant(name: str) -> Never:
    raise BadLineError("invalid_number", f"contains {name}, which is not valid JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _is_shallow(item: object) -> bool:
    level = [item]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _children(value)]
        if not level:
            return True
    return not any(isinstance(value, dict | list) for value in level)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
    for inner in _children(value):
        yield from _texts(inner)


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
