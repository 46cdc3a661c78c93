"""Writing of a file derived from another: rows kept, rewritten and appended, with bytes, report and images.

Kept rows are copied inside the database, including their hashes. Each row passes through memory once, one at a time,
for the bytes (JSONL of the items) and the report. Atomic within the caller's transaction.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import ARRAY, BigInteger, any_, func, literal, select, text
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.analysis.findings import Findings
from backend.datasets.analysis.overlap import repeated_rows
from backend.datasets.formats.problems import Report
from backend.datasets.reading.store import COPY, OnBadRows
from backend.datasets.rows.images import ImageStore
from backend.datasets.rows.rows import NormalRow, count_good
from backend.db.base import Json, utc_now
from backend.db.blobs import Blob
from backend.db.files import ROWS_TOGETHER, DatasetRow, File, FileImage
from backend.ids import new_id

COPY_KEPT = text(
    r"""
    INSERT INTO dataset_rows (file_id, number, line, row_hash, normal)
    SELECT :file_id, new_number, new_number + 1, row_hash,
           CAST(regexp_replace(CAST(normal AS text), '^\{"id": ?"row-\d+"', '{"id":"row-' || new_number || '"') AS json)
    FROM unnest(CAST(:numbers AS bigint[]), CAST(:new_numbers AS bigint[])) AS kept (number, new_number)
    JOIN dataset_rows USING (number) WHERE file_id = :parent_id
    """
)
COPY_IMAGES = text(
    """
    INSERT INTO file_images (file_id, sha256)
    SELECT DISTINCT :file_id, shown FROM dataset_rows, json_array_elements_text(normal->'images') AS shown
    WHERE file_id = :file_id ON CONFLICT DO NOTHING
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The rows of the new file: those of the parent with a number in `kept`, in order, then the `appended` ones.

    `rewritten` holds the replacements of kept rows by number.
    """

    kept: Sequence[int]
    rewritten: Mapping[int, NormalRow] = field(default_factory=dict)
    appended: Sequence[NormalRow] = ()

    @property
    def row_count(self) -> int:
        return len(self.kept) + len(self.appended)

    def copied_rows(self) -> tuple[list[int], list[int]]:
        """Return (numbers in the parent, numbers in the new file) of the unchanged rows."""
        numbers = [number for number in self.kept if number not in self.rewritten]
        return numbers, [new for new, number in enumerate(self.kept) if number not in self.rewritten]

    def new_rows(self) -> Iterator[NormalRow]:
        """Yield the rewritten and appended rows under their new numbers."""
        for new, number in enumerate(self.kept):
            if number in self.rewritten:
                yield _renumbered(self.rewritten[number], new)
        for new, row in enumerate(self.appended, start=len(self.kept)):
            yield _renumbered(row, new)


def store_derived_file(
    session: Session, parent: File, *, content: Content, image_store: ImageStore | None, filename: str, change: Json
) -> File:
    """Store the file. `image_store` holds the images of the rewritten and appended rows."""
    report = Report(shape=parent.shape, columns=parent.report["columns"], notes=parent.report.get("notes", []))
    findings = Findings(report)
    blob = blobs.put(session, _lines(session, parent, content=content, findings=findings))
    findings.finish()
    file = File(
        id=new_id("file"),
        filename=filename,
        purpose=parent.purpose,
        size_bytes=blob.size_bytes,
        sha256=blob.sha256,
        created_at=utc_now(),
        shape=parent.shape,
        mapping=parent.mapping,
        row_count=content.row_count,
        report={},
        parent_id=parent.id,
        change=change,
        project_id=parent.project_id,
    )
    session.add(file)
    session.flush()
    _copy_rows(session, parent, file, content=content)
    blobs.put_images(session, [] if image_store is None else image_store.in_order(), file_id=file.id)
    if report.with_images:
        session.execute(COPY_IMAGES, {"file_id": file.id})
    report.details |= {
        "format": "jsonl",
        "packing": None,
        "encoding": "utf-8",
        "on_bad_rows": OnBadRows.REJECT,
        "images": _images(session, file),
        "duplicates": repeated_rows(session, file),
    }
    file.report = report.to_json()
    session.flush()
    return file


def _lines(session: Session, parent: File, *, content: Content, findings: Findings) -> Iterator[bytes]:
    """Yield the items as JSONL, and add each row to the report and the findings."""
    for row in _rows(session, parent, content=content):
        count_good(row, report=findings.report)
        findings.add(row)
        yield json.dumps(row.item, ensure_ascii=False).encode() + b"\n"


def _rows(session: Session, parent: File, *, content: Content) -> Iterator[NormalRow]:
    stored = session.execute(
        select(DatasetRow.number, DatasetRow.normal)
        .where(DatasetRow.file_id == parent.id, DatasetRow.number == any_(literal(content.kept, ARRAY(BigInteger))))
        .order_by(DatasetRow.number)
        .execution_options(yield_per=ROWS_TOGETHER)
    )
    for new, (number, normal) in enumerate(stored):
        rewritten = content.rewritten.get(number)
        if rewritten is None:
            yield NormalRow.from_json(normal, number=new, line=new + 1)
        else:
            yield _renumbered(rewritten, new)
    for new, row in enumerate(content.appended, start=len(content.kept)):
        yield _renumbered(row, new)


def _copy_rows(session: Session, parent: File, file: File, *, content: Content) -> None:
    numbers, new_numbers = content.copied_rows()
    parameters = {"file_id": file.id, "parent_id": parent.id, "numbers": numbers, "new_numbers": new_numbers}
    session.execute(COPY_KEPT, parameters)
    driver = session.connection().connection.cursor()
    with driver.copy(COPY) as copy:
        for row in content.new_rows():
            normal = json.dumps(row.to_json(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            copy.write_row((file.id, row.number, row.line, row.row_hash, normal))


def _images(session: Session, file: File) -> Json:
    files, size_bytes = session.execute(
        select(func.count(), func.coalesce(func.sum(Blob.size_bytes), 0))
        .select_from(FileImage)
        .join(Blob, Blob.sha256 == FileImage.sha256)
        .where(FileImage.file_id == file.id)
    ).one()
    return {"files": files, "bytes": int(size_bytes)}


def _renumbered(row: NormalRow, number: int) -> NormalRow:
    return replace(row, number=number, line=number + 1)
