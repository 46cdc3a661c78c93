"""Find how the numbers of a column are written: once, from all of its values, never row by row."""

from collections.abc import Iterable
from typing import NamedTuple

from backend.verifiers.notation import plain
from backend.verifiers.numerals import DecimalMark, last_literal, readings


class ColumnReading(NamedTuple):
    """How a column of references is read. The examples are values of the column."""

    decimal_mark: DecimalMark
    with_point: str | None
    """A value that can only be written with a decimal point, such as `1,234.5`."""
    with_comma: str | None
    either: str | None
    """A value that means another number with the other mark, such as `1,234`."""

    @property
    def certain(self) -> bool:
        """False when the values do not decide, or contradict each other."""
        if self.with_point is None and self.with_comma is None:
            return self.either is None
        return self.with_point is None or self.with_comma is None


def read_column(references: Iterable[str]) -> ColumnReading:
    """Find the decimal mark by the values that can be read with one only: the majority, and a point if none decides."""
    only: dict[DecimalMark, list[str]] = {".": [], ",": []}
    either = None
    for reference in references:
        literal = last_literal(plain(reference))
        possible = {} if literal is None else readings(literal)
        if len(possible) == 1:
            only[next(iter(possible))].append(reference)
        elif either is None and len(set(possible.values())) > 1:
            either = reference
    mark: DecimalMark = "," if len(only[","]) > len(only["."]) else "."
    return ColumnReading(mark, next(iter(only["."]), None), next(iter(only[","]), None), either)
