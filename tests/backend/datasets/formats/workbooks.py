"""Excel workbooks as small as can be, written by hand (ECMA-376), so that no other library has to agree with ours."""

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


def workbook(
    *sheets: Sequence[Sequence[Cell]], hidden: Sequence[int] = (), first_line: int = 1, far_out: bool = False
) -> bytes:
    """Sheets of lines of cells; `hidden`: numbers from 0 of those not shown; `far_out`: with the last cell there is."""
    listed, related, file = "", "", io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", TYPES)
        archive.writestr(
            "_rels/.rels", _relations(f'<Relationship Id="r" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>')
        )
        for number, lines in enumerate(sheets):
            state = ' state="hidden"' if number in hidden else ""
            listed += f'<sheet name="s{number}" sheetId="{number + 1}"{state} r:id="r{number}"/>'
            related += f'<Relationship Id="r{number}" Type="{OFFICE}/worksheet" Target="s{number}.xml"/>'
            rows = "".join(_row(line, cells) for line, cells in enumerate(lines, start=first_line))
            rows += '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>' if far_out else ""
            archive.writestr(
                f"xl/s{number}.xml", f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'
            )
        archive.writestr("xl/_rels/workbook.xml.rels", _relations(related))
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>'
        )
    return file.getvalue()


def _relations(inner: str) -> str:
    return f'<Relationships xmlns="{RELATIONS}">{inner}</Relationships>'


def _row(line: int, cells: Sequence[Cell]) -> str:
    written = "".join(_cell(f"{chr(65 + place)}{line}", cell) for place, cell in enumerate(cells) if cell is not None)
    return f'<row r="{line}">{written}</row>'


def _cell(place: str, cell: Cell) -> str:
    if isinstance(cell, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{escape(cell)}</t></is></c>'
    if isinstance(cell, bool):
        return f'<c r="{place}" t="b"><v>{int(cell)}</v></c>'
    return f'<c r="{place}"><v>{cell}</v></c>'
