"""Minimal Excel workbooks, written by hand (ECMA-376), so that tests do not depend on another library."""

import io
import zipfile
from collections.abc import Sequence
from xml.sax.saxutils import escape

TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    "</Types>"
)
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
Cell = str | int | float | bool | None


class Xml(str):
    """A cell as XML, in which `@` stands for its reference."""


def workbook(
    *sheets: Sequence[Sequence[Cell]],
    hidden: Sequence[int] = (),
    first_line: int = 1,
    far_out: bool = False,
    merged: Sequence[str] = (),
    styles: str = "",
    texts: str = "",
    calculates_on_load: bool = False,
) -> bytes:
    """Build a workbook. `hidden`: indices of hidden sheets; `far_out`: also fill the last cell a sheet can have.

    `merged`: ranges of each sheet; `styles`, `texts`: the XML inside the style sheet and the list of shared texts.
    """
    sheet_list, relations, file = "", "", io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", TYPES)
        archive.writestr(
            "_rels/.rels", _relations(f'<Relationship Id="r" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>')
        )
        for number, lines in enumerate(sheets):
            state = ' state="hidden"' if number in hidden else ""
            sheet_list += f'<sheet name="s{number}" sheetId="{number + 1}"{state} r:id="r{number}"/>'
            relations += f'<Relationship Id="r{number}" Type="{OFFICE}/worksheet" Target="s{number}.xml"/>'
            rows = "".join(_row(line, cells) for line, cells in enumerate(lines, start=first_line))
            rows += '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>' if far_out else ""
            ranges = "".join(f'<mergeCell ref="{cells}"/>' for cells in merged)
            ranges = f"<mergeCells>{ranges}</mergeCells>" if ranges else ""
            archive.writestr(
                f"xl/s{number}.xml", f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData>{ranges}</worksheet>'
            )
        for part, root, content in (("styles", "styleSheet", styles), ("sharedStrings", "sst", texts)):
            if content:
                relations += f'<Relationship Id="{part}" Type="{OFFICE}/{part}" Target="/xl/{part}.xml"/>'
                archive.writestr(f"xl/{part}.xml", f'<{root} xmlns="{MAIN}">{content}</{root}>')
        calculation = '<calcPr fullCalcOnLoad="1"/>' if calculates_on_load else ""
        archive.writestr("xl/_rels/workbook.xml.rels", _relations(relations))
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{sheet_list}</sheets>{calculation}</workbook>',
        )
    return file.getvalue()


def _relations(inner: str) -> str:
    return f'<Relationships xmlns="{RELATIONS}">{inner}</Relationships>'


def _row(line: int, cells: Sequence[Cell]) -> str:
    xml = "".join(_cell(f"{chr(65 + column)}{line}", cell) for column, cell in enumerate(cells) if cell is not None)
    return f'<row r="{line}">{xml}</row>'


def _cell(reference: str, cell: Cell) -> str:
    if isinstance(cell, Xml):
        return cell.replace("@", f'r="{reference}"')
    if isinstance(cell, str):
        return f'<c r="{reference}" t="inlineStr"><is><t>{escape(cell)}</t></is></c>'
    if isinstance(cell, bool):
        return f'<c r="{reference}" t="b"><v>{int(cell)}</v></c>'
    return f'<c r="{reference}"><v>{cell}</v></c>'
