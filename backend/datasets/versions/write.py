"""Writing a file that is made from another: rows chosen from it, some rewritten, some added; bytes, report and images.

Rows that stay are copied inside the database, hash and all. Every row passes once through memory, alone, for the bytes
(JSONL of the items) and the report. All in the caller's one transaction: whole or not at all.
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
    SELECT :file_id, place, place + 1, row_hash,
           CAST(regexp_replace(CAST(normal AS text), '^\{"id": ?"row-\d+"', '{"id":"row-' || place || '"') AS json)
    FROM unnest(CAST(:numbers AS bigint[]), CAST(:places AS bigint[])) AS kept (number, place)
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
    """The rows of a file to be: `kept` are numbers of the parent's rows, in order, some of them `rewritten`.

    The `appended` follow.
    """

    kept: Sequence[int]
    rewritten: Mapping[int, NormalRow] = field(default_factory=dict)
    appended: Sequence[NormalRow] = ()

    @property
    def row_count(self) -> int:
        return len(self.kept) + len(self.appended)

    def copied(self) -> tuple[list[int], list[int]]:
        """(numbers in the parent, numbers in the file) of the rows that stay as they are."""
        numbers = [number for number in self.kept if number not in self.rewritten]
        return numbers, [place for place, number in enumerate(self.kept) if number not in self.rewritten]

    def written(self) -> Iterator[NormalRow]:
        """The rows that are not the parent's, under their new numbers."""
        for place, number in enumerate(self.kept):
            if number in self.rewritten:
                yield _at(self.rewritten[number], place)
        for place, row in enumerate(self.appended, start=len(self.kept)):
            yield _at(row, place)


def derived(
    session: Session, parent: File, *, content: Content, pictures: ImageStore | None, filename: str, change: Json
) -> File:
    """Store the file. `pictures` holds the images of the rows that are not the parent's."""
    report = Report(shape=parent.shape, columns=parent.report["columns"])
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
    )
    session.add(file)
    session.flush()
    _copy_rows(session, parent, file, content=content)
    blobs.put_images(session, [] if pictures is None else pictures.in_order(), file_id=file.id)
    if report.with_images:
        session.execute(COPY_IMAGES, {"file_id": file.id})
    report.about |= {
        "format": "jsonl",
        "packing": None,
        "encoding": "utf-8",
        "on_bad_rows": OnBadRows.REJECT,
        "images": _images(session, file),
        "duplicates": repeated_rows(session, file.id),
    }
    file.report = report.to_json()
    session.flush()
    return file


def _lines(session: Session, parent: File, *, content: Content, findings: Findings) -> Iterator[bytes]:
    """The items as JSONL; each row is counted and looked at as it passes."""
    for row in _rows(session, parent, content=content):
        count_good(row, report=findings.report)
        findings.see(row)
        yield json.dumps(row.item, ensure_ascii=False).encode() + b"\n"


def _rows(session: Session, parent: File, *, content: Content) -> Iterator[NormalRow]:
    stored = session.execute(
        select(DatasetRow.number, DatasetRow.normal)
        .where(DatasetRow.file_id == parent.id, DatasetRow.number == any_(literal(content.kept, ARRAY(BigInteger))))
        .order_by(DatasetRow.number)
        .execution_options(yield_per=ROWS_TOGETHER)
    )
    for place, (number, normal) in enumerate(stored):
        rewritten = content.rewritten.get(number)
        yield NormalRow.from_json(normal, number=place, line=place + 1) if rewritten is None else _at(rewritten, place)
    for place, row in enumerate(content.appended, start=len(content.kept)):
        yield _at(row, place)


def _copy_rows(session: Session, parent: File, file: File, *, content: Content) -> None:
    numbers, places = content.copied()
    session.execute(COPY_KEPT, {"file_id": file.id, "parent_id": parent.id, "numbers": numbers, "places": places})
    driver = session.connection().connection.cursor()
    with driver.copy(COPY) as copy:
        for row in content.written():
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


def _at(row: NormalRow, place: int) -> NormalRow:
    return replace(row, number=place, line=place + 1)
