"""What a sheet's XML tells beyond the values: errors, formulas without a value, superscripts, number formats.

The reader of values leaves the first two empty, gives 102 for 10 with a raised 2, 0.5 for what is shown as 50%, and 501
for what is shown as 00501.
"""

import posixpath
import re
import string
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from xml.etree import ElementTree
from xml.parsers import expat

WORKBOOK = "xl/workbook.xml"
RELATIONS = "xl/_rels/workbook.xml.rels"
PERCENT = "%"
PERCENT_FORMATS = {"9": PERCENT, "10": PERCENT}
"""Built-in number formats with a percent sign."""
LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')
"""Parts of a number format that are shown as they are, or not at all."""
PIECE = re.compile(rf"{LITERAL.pattern}|.", re.DOTALL)
BARE = "0 -+()"
"""Characters of a mask that need no quotes."""
QUOTES = ('"', "\\")
NOT_MASKED = re.compile(r"\[[<>=]|[\"\\\\].*0|.$", re.DOTALL)
"""Conditions, a zero in quotes, and other parts that change a number."""
RAISED = "superscript"
LETTERS = string.ascii_uppercase
PIECE_BYTES = 1024 * 1024
SAVE_IT = "open the workbook in a spreadsheet program and save it"


@dataclass(slots=True)
class SheetMarks:
    """Facts about the cells of a sheet.

    `faults`: (code, message) on the first unreadable cell of a line, counted from 1. `formats`: how cells such as "C5"
    show their number, `PERCENT` or a mask such as `000-00`, in which each 0 stands for a digit.
    """

    faults: dict[int, tuple[str, str]] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)


def sheet_marks(file: BinaryIO, *, sheet: str) -> SheetMarks:
    """Read the marks of a sheet. Raises ValueError, KeyError or OSError if the workbook is damaged."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            workbook = _parsed(archive.read(WORKBOOK))
            parts = _parts(archive)
            ids = {found.get("name"): _relation_id(found) for found in workbook.iterfind(".//{*}sheet")}
            calculation = workbook.find("{*}calcPr")
            is_stale = calculation is not None and calculation.get("fullCalcOnLoad") in ("1", "true")
            reader = _SheetReader(
                formats=_formats_of_styles(archive, parts),
                raised_texts=_raised_texts(archive, parts),
                is_stale=is_stale,
            )
            with archive.open(parts[ids[sheet]]) as content:
                while piece := content.read(PIECE_BYTES):
                    reader.parser.Parse(piece)
            reader.end_cell()
    except (zipfile.BadZipFile, ElementTree.ParseError, expat.ExpatError) as error:
        raise ValueError(str(error)) from None
    return reader.marks


def _parsed(content: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(content)  # noqa: S314 - expat bounds entities, and a child reads this


def _relation_id(sheet: ElementTree.Element) -> str:
    return next((value for name, value in sheet.items() if name.endswith("}id")), "")


def _parts(archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the paths of the workbook's parts by their id and by the last word of their type."""
    found: dict[str, str] = {}
    for relation in _parsed(archive.read(RELATIONS)):
        path = posixpath.normpath(posixpath.join("/xl", relation.get("Target", ""))).lstrip("/")
        found[relation.get("Id", "")] = found[relation.get("Type", "").rpartition("/")[2]] = path
    return found


def _formats_of_styles(archive: zipfile.ZipFile, parts: Mapping[str, str]) -> dict[str, str]:
    """Return the formats of `SheetMarks` by the style of a cell, as its attribute `s` numbers it."""
    if parts.get("styles") not in archive.namelist():
        return {}
    styles = _parsed(archive.read(parts["styles"]))
    own = {found.get("numFmtId", ""): _format(found.get("formatCode", "")) for found in styles.iterfind(".//{*}numFmt")}
    cells = styles.find("{*}cellXfs")
    used = ((str(n), style.get("numFmtId", "")) for n, style in enumerate([] if cells is None else cells))
    known = ((style, (PERCENT_FORMATS | own).get(number)) for style, number in used)
    return {style: found for style, found in known if found is not None}


def _format(code: str) -> str | None:
    """Return what `SheetMarks` keeps of a number format; None if a number is read as it is stored."""
    if PERCENT in LITERAL.sub("", code):
        return PERCENT
    mask = ""
    for piece in PIECE.findall(code):
        if piece == ";":
            break
        if piece in BARE:
            mask += piece
        elif NOT_MASKED.match(piece):
            return None
        elif piece[0] in QUOTES:
            mask += piece[1:].removesuffix('"')
    return mask if mask.count("0") > 1 else None


def _raised_texts(archive: zipfile.ZipFile, parts: Mapping[str, str]) -> frozenset[str]:
    """Return the numbers of the shared texts that have superscripts."""
    if parts.get("sharedStrings") not in archive.namelist():
        return frozenset()
    content = archive.read(parts["sharedStrings"])
    if RAISED.encode() not in content:
        return frozenset()
    texts = enumerate(_parsed(content).iterfind("{*}si"))
    return frozenset(str(n) for n, text in texts if text.find(f".//{{*}}vertAlign[@val='{RAISED}']") is not None)


class _SheetReader:
    """Takes the XML of a sheet in pieces. Cells and rows without a position follow the ones before them."""

    def __init__(self, *, formats: Mapping[str, str], raised_texts: frozenset[str], is_stale: bool) -> None:
        self.marks = SheetMarks()
        self.formats = formats
        self.raised_texts = raised_texts
        self.is_stale = is_stale
        self.prefix: str | None = None
        self.line, self.cell = 0, ""
        self.kind: str | None = None
        self.has_formula = self.is_raised = self.reads_text = False
        self.text = ""
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        if self.prefix is None:
            self.prefix = name.removesuffix("worksheet")
        tag = name.removeprefix(self.prefix)
        if tag == "c":
            self.end_cell()
            self.cell = attributes.get("r") or self._next_cell()
            self.kind = attributes.get("t")
            if (found := self.formats.get(attributes.get("s", ""))) is not None:
                self.marks.formats[self.cell] = found
        elif tag == "row":
            self.end_cell()
            self.line, self.cell = int(attributes.get("r", self.line + 1)), ""
        elif tag == "f":
            self.has_formula = True
        elif tag == "vertAlign":
            self.is_raised = attributes.get("val") == RAISED or self.is_raised
        elif tag == "v" and (self.has_formula or self.kind == "e" or (self.kind == "s" and self.raised_texts)):
            self.reads_text = True
            self.parser.CharacterDataHandler = self._add

    def _add(self, text: str) -> None:
        self.text += text

    def _next_cell(self) -> str:
        letters = self.cell.rstrip("0123456789")
        return f"{column_name(column_number(letters) + 1 if letters else 0)}{self.line}"

    def end_cell(self) -> None:
        """Note what is wrong with the cell that has been read."""
        if not (self.kind == "e" or self.has_formula or self.is_raised or self.reads_text):
            return
        fault = self._fault(self.text.strip())
        if fault is not None:
            self.marks.faults.setdefault(int(self.cell.lstrip(LETTERS)), fault)
        self.parser.CharacterDataHandler = None
        self.kind, self.text = None, ""
        self.has_formula = self.is_raised = self.reads_text = False

    def _fault(self, text: str) -> tuple[str, str] | None:
        """Return (code, message); None if the cell with this value can be read."""
        if self.kind == "e":
            return "cell_error", f"has the error {text:.40} in {self.cell}"
        if self.is_raised or (self.kind == "s" and text in self.raised_texts):
            return "superscript", f"has a superscript in {self.cell}, which is lost as text: write it as in 10^2"
        if self.has_formula and (self.is_stale or not (text or self.kind == "str")):
            return "formula_not_calculated", f"has a formula in {self.cell} that is not calculated: {SAVE_IT}"
        return None


def column_number(letters: str) -> int:
    """Return the number, from 0, of a column of these letters."""
    number = 0
    for letter in letters:
        number = number * 26 + LETTERS.index(letter) + 1
    return number - 1


def column_name(number: int) -> str:
    """Return the letters of a column, counted from 0."""
    letters = ""
    while number >= 0:
        letters, number = LETTERS[number % 26] + letters, number // 26 - 1
    return letters
