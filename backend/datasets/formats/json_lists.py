"""Rows in one JSON document: a list of objects, or an object whose `data` is such a list.

The list is cut into its elements without being parsed, one element in memory at a time; each element is then read as a
line of JSON Lines is, by the same rules and limits. A streaming parser would have to repeat those rules: it hands on
numbers of its own kind, and the last of two equal keys.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from backend.datasets.formats.json_lines import MAX_LINE_BYTES, BadLineError, RawRow, as_text, parsed, row_hash
from backend.datasets.formats.problems import Problem

PIECE_BYTES = 256 * 1024
LIST_KEY = b'"data"'
OUTSIDE = re.compile(rb'["\[\]{},]')
INSIDE = re.compile(rb'["\\]')
BLANK = b" \t\r\n"
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
OPENING = re.compile(rb"\s*:\s*\[(?=\s*[{\]])")


def data_list(head: bytes) -> int | None:
    """Where the list under the first object's own key `data` begins, just after its bracket; None without one."""
    depth = 0
    for token in TOKEN.finditer(head):
        if depth == 1 and token.group() == LIST_KEY and (found := OPENING.match(head, token.end())):
            return found.end()
        depth += (token.group() in b"{[") - (token.group() in b"}]")
        if depth == 0:
            return None
    return None


def json_list(file: BinaryIO, *, start: int) -> Iterator[RawRow | Problem]:
    """The elements of a list as rows, or as what is wrong with them.

    `start`: bytes from where the file stands to what follows the list's opening bracket.
    """
    for line, element in _Cutter(file, start=start).elements():
        try:
            if isinstance(element, BadLineError):
                raise element
            item = parsed(element)
            if item is None:
                raise BadLineError("invalid_json", "has an empty place in the list: a comma too many")
            yield RawRow(line=line, item=item, row_hash=row_hash(item))
        except BadLineError as error:
            read = None if isinstance(element, BadLineError) else as_text(element)
            yield Problem(line=line, code=error.code, message=str(error), read=read)


class _Cutter:
    """Cuts a list at the commas that are its own. Of a long element it keeps `MAX_LINE_BYTES` + 1 bytes."""

    def __init__(self, file: BinaryIO, *, start: int) -> None:
        before = file.read(start)
        self.file = file
        self.wrapped = before.lstrip(BLANK).startswith(b"{")
        self.line = self.first_line = 1 + before.count(b"\n")
        self.piece = b""
        self.counted = 0
        self.kept = bytearray()

    def elements(self) -> Iterator[tuple[int, bytes | BadLineError]]:
        """(line, bytes) of each element; last, if so, what is wrong with the list itself."""
        depth, in_text, place, any_yet = 0, False, 0, False
        while self._next_piece():
            begin, place = 0, max(0, place)
            while found := (INSIDE if in_text else OUTSIDE).search(self.piece, place):
                mark, place = found.group(), found.end()
                if in_text:
                    in_text = mark != b'"'
                    place += mark == b"\\"  # what it escapes is no mark, be it in the next piece
                elif mark == b'"':
                    in_text = True
                elif mark in b"[{":
                    depth += 1
                elif depth and mark in b"]}":
                    depth -= 1
                elif not depth and mark in b",]":
                    self._keep(begin, found.start())
                    begin = found.start() + 1
                    if mark == b"," or any_yet or self.kept:
                        yield self._taken()
                    any_yet = True
                    if mark == b"]":
                        yield from self._after(begin)
                        return
            self._keep(begin, len(self.piece))
            place -= len(self.piece)
        yield self.line, BadLineError("invalid_json", "is where the file ends, before its list is closed")

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

    def _taken(self) -> tuple[int, bytes]:
        taken, self.kept = bytes(self.kept), bytearray()
        return self.first_line, taken

    def _after(self, begin: int) -> Iterator[tuple[int, BadLineError]]:
        """What follows the list must end it: nothing, or the rest of the object around it."""
        last = self.piece[begin:].rstrip(BLANK)[-1:]
        while self._next_piece():
            last = self.piece.rstrip(BLANK)[-1:] or last
        if self.wrapped and last != b"}":
            yield self.line, BadLineError("invalid_json", "begins an object around the list that is never closed")
        if not self.wrapped and last:
            yield self.line, BadLineError("invalid_json", "has something after the end of its list")
