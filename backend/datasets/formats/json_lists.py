"""Rows in one JSON document: a list of objects, or an object with such a list in `data`.

The list is split into its elements without being parsed, one element in memory at a time; each element is then parsed
like a line of JSON Lines, by the same rules and limits. A streaming parser would have to repeat those rules: it returns
its own number types and silently keeps the last of two equal keys.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from backend.datasets.formats.json_lines import MAX_LINE_BYTES, BadLineError, RawRow, as_text, parse_line, row_hash
from backend.datasets.formats.problems import Problem

PIECE_BYTES = 256 * 1024
LIST_KEY = b'"data"'
OUTSIDE = re.compile(rb'["\[\]{},]')
INSIDE = re.compile(rb'["\\]')
BLANK = b" \t\r\n"
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
OPENING = re.compile(rb"\s*:\s*\[(?=\s*[{\]])")


def data_list(head: bytes) -> int | None:
    """Return the offset just after the opening bracket of the first object's own `data` list; None without one."""
    depth = 0
    for token in TOKEN.finditer(head):
        if depth == 1 and token.group() == LIST_KEY and (found := OPENING.match(head, token.end())):
            return found.end()
        depth += (token.group() in b"{[") - (token.group() in b"}]")
        if depth == 0:
            return None
    return None


def json_list(file: BinaryIO, *, start: int) -> Iterator[RawRow | Problem]:
    """Yield the elements of a list as rows or problems.

    `start`: bytes from the file's position to just after the list's opening bracket.
    """
    for line, element in _ListSplitter(file, start=start).elements():
        try:
            if isinstance(element, BadLineError):
                raise element
            item = parse_line(element)
            if item is None:
                raise BadLineError("invalid_json", "has an empty list element: there is a comma too many")
            yield RawRow(line=line, item=item, row_hash=row_hash(item))
        except BadLineError as error:
            read = None if isinstance(element, BadLineError) else as_text(element)
            yield Problem(line=line, code=error.code, message=str(error), read=read)


class _ListSplitter:
    """Splits a list at its top-level commas. An element is cut after `MAX_LINE_BYTES` + 1 bytes."""

    def __init__(self, file: BinaryIO, *, start: int) -> None:
        before = file.read(start)
        self.file = file
        self.wrapped = before.lstrip(BLANK).startswith(b"{")
        self.line = self.first_line = 1 + before.count(b"\n")
        self.piece = b""
        self.counted = 0
        self.kept = bytearray()

    def elements(self) -> Iterator[tuple[int, bytes | BadLineError]]:
        """Yield (line, bytes) of each element, and at the end an error in the list itself, if there is one."""
        depth, in_string, position, any_yet = 0, False, 0, False
        while self._next_piece():
            begin, position = 0, max(0, position)
            while found := (INSIDE if in_string else OUTSIDE).search(self.piece, position):
                mark, position = found.group(), found.end()
                if in_string:
                    in_string = mark != b'"'
                    position += mark == b"\\"  # skips the escaped character, even at the start of the next piece
                elif mark == b'"':
                    in_string = True
                elif mark in b"[{":
                    depth += 1
                elif depth and mark in b"]}":
                    depth -= 1
                elif not depth and mark in b",]":
                    self._keep(begin, found.start())
                    begin = found.start() + 1
                    if mark == b"," or any_yet or self.kept:
                        yield self._take()
                    any_yet = True
                    if mark == b"]":
                        yield from self._check_end(begin)
                        return
            self._keep(begin, len(self.piece))
            position -= len(self.piece)
        yield self.line, BadLineError("invalid_json", "ends the file before its list is closed")

    def _next_piece(self) -> bool:
        self.line += self.piece.count(b"\n", self.counted)
        self.piece, self.counted = self.file.read(PIECE_BYTES), 0
        return bool(self.piece)

    def _keep(self, begin: int, end: int) -> None:
        if not self.kept:
            while begin < end and self.piece[begin] in BLANK:
                begin += 1
            self.line += self.piece.count(b"\n", self.counted, begin)
            self.counted, self.first_line = begin, self.line
        self.kept += self.piece[begin : min(end, begin + MAX_LINE_BYTES + 1 - len(self.kept))]

    def _take(self) -> tuple[int, bytes]:
        element, self.kept = bytes(self.kept), bytearray()
        return self.first_line, element

    def _check_end(self, begin: int) -> Iterator[tuple[int, BadLineError]]:
        """Yield an error unless the list is followed by nothing or by the rest of the object around it."""
        last = self.piece[begin:].rstrip(BLANK)[-1:]
        while self._next_piece():
            last = self.piece.rstrip(BLANK)[-1:] or last
        if self.wrapped and last != b"}":
            yield self.line, BadLineError("invalid_json", "does not close the object around the list")
        if not self.wrapped and last:
            yield self.line, BadLineError("invalid_json", "continues after the end of its list")
