"""Broken, mistaken and malicious files: each is refused quickly with a clear message, and leaves nothing behind."""

import base64
import gc
import gzip
import io
import json
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sqlalchemy import func, select

from backend.datasets.formats.archive import MAX_MEMBERS
from backend.datasets.reading.store import store_dataset
from backend.datasets.rows.images import MAX_IMAGE_BYTES
from backend.db.blobs import Blob, BlobChunk
from backend.db.engine import transaction
from backend.db.files import DatasetRow, File, FileImage
from backend.db.projects import DEFAULT_PROJECT
from backend.errors import AppError
from backend.settings import settings
from backend.stack.embedded import Services
from tests.backend.datasets.formats.workbooks import workbook

pytestmark = pytest.mark.hostile

MIB = 1024 * 1024
GOOD = b'{"question": "q", "answer": "a"}\n'


def row(**columns: Any) -> bytes:
    return json.dumps({"question": "q", "answer": "a"} | columns).encode() + b"\n"


def question(content: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content}], "answer": "a"}).encode() + b"\n"


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in members:
            archive.writestr(name, content, compress_type=how)
    return file.getvalue()


def special(name: str, mode: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = mode << 16
    return member


def png(width: int = 4, height: int = 4) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (9, 9, 9)).save(file, "PNG")
    return file.getvalue()


def png_bomb(width: int, height: int) -> bytes:
    """Build a PNG of a few kilobytes with a header that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(MIB))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """Build a PNG with a comment that unpacks to 256 MiB."""
    data = b"Comment\0\0" + zlib.compress(bytes(256 * MIB), 9)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    plain = png()
    return plain[:33] + chunk + plain[33:]


def data_url(encoded: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def two_columns_of_one_name() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["q"]), pa.array(["a"])], names=["question", "question"]), file)
    return file.getvalue()


def repeated_value() -> bytes:
    """Build a table of kilobytes that unpacks to 6 GB: one long text, and two thousand references to it."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["q" * 3_000_000]))
    return parquet(
        {"question": texts, "answer": ["a"] * 2000},
        compression="zstd",
        store_schema=False,
        dictionary_pagesize_limit=64 * MIB,
    )


def lying_directory() -> bytes:
    """Build a ZIP that claims a central directory far larger than the file."""
    content = bytearray(zipped(("t.jsonl", GOOD)))
    end = content.rfind(b"PK\x05\x06")
    struct.pack_into("<I", content, end + 12, 0xFFFFFF00)
    return bytes(content)


def wrong_checksum() -> bytes:
    content = bytearray(zipped(("t.jsonl", GOOD * 50), how=zipfile.ZIP_STORED))
    content[60] ^= 1
    return bytes(content)


def encrypted() -> bytes:
    content = bytearray(zipped(("t.jsonl", GOOD)))
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def many_members() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(MAX_MEMBERS + 1):
            archive.writestr(f"images/{number}.png", b"")
    return file.getvalue()


def nested(levels: int) -> bytes:
    return b'{"question": "q", "answer": "a", "x": ' + b"[" * levels + b"]" * levels + b"}\n"


IMAGE = '{"question": "q", "answer": "a", "image": %s}\n'
CASES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    # JSON Lines
    "nothing": ("a.jsonl", lambda: b"", "empty_file"),
    "only blank lines": ("a.jsonl", lambda: b"\n \n\t\n", "empty_file"),
    "only a byte order mark": ("a.jsonl", lambda: b"\xef\xbb\xbf", "empty_file"),
    "truncated JSON": ("a.jsonl", lambda: GOOD + GOOD[:20], "invalid_json"),
    "NUL byte": ("a.jsonl", lambda: GOOD + b'{"question": "q\0", "answer": "a"}', "nul_character"),
    "NUL escaped": ("a.jsonl", lambda: GOOD + b'{"question": "q\\u0000", "answer": "a"}', "nul_character"),
    "a megabyte of NUL": ("a.jsonl", lambda: bytes(MIB), "nul_character"),
    "lone surrogate": ("a.jsonl", lambda: GOOD + b'{"question": "\\ud800", "answer": "a"}', "lone_surrogate"),
    "lone surrogate in a key": ("a.jsonl", lambda: b'{"question": "q", "answer": "a", "\\udfff": 1}', "lone_surrogate"),
    "10 MB line": ("a.jsonl", lambda: GOOD + row(x="x" * 10_000_000) + GOOD, "line_too_long"),
    "100 MB without a line end": ("a.jsonl", lambda: b'{"question": "' + b"x" * 100_000_000, "line_too_long"),
    "deep nesting": ("a.jsonl", lambda: GOOD + nested(100), "too_deep"),
    "nesting beyond the parser": ("a.jsonl", lambda: nested(200_000), "too_deep"),
    "duplicate keys": ("a.jsonl", lambda: b'{"question": "q", "answer": "a", "answer": "b"}', "duplicate_key"),
    "NaN": ("a.jsonl", lambda: b'{"question": "q", "answer": NaN}', "invalid_number"),
    "infinite by exponent": ("a.jsonl", lambda: b'{"question": "q", "answer": 1e999}', "number_too_large"),
    "a million digits": ("a.jsonl", lambda: b'{"question":"q","answer":' + b"9" * MIB + b"}", "number_too_large"),
    "mixed kinds of lines": ("a.jsonl", lambda: GOOD + b"7\n", "not_an_object"),
    "mixed types in a column": ("a.jsonl", lambda: GOOD + b'{"question": {}, "answer": "a"}', "invalid_messages"),
    "a question that is a number": ("a.jsonl", lambda: GOOD + b'{"question": 5, "answer": "a"}', "invalid_messages"),
    "other columns later": ("a.jsonl", lambda: GOOD + b'{"prompt": "q", "answer": "a"}', "missing_question"),
    "unknown columns": ("a.jsonl", lambda: b'{"left": 1, "right": 2}', "unknown_shape"),
    "one byte that is not UTF-8": ("a.jsonl", lambda: GOOD + b'{"question": "\xe9", "answer": "a"}', "invalid_utf8"),
    "UTF-16 cut in a character": (
        "a.jsonl",
        lambda: (GOOD.decode() * 3).encode("utf-16")[:-1],
        "invalid_encoding",
    ),
    "UTF-16 with half a pair": (
        "a.jsonl",
        lambda: b"\xff\xfe" + '{"question":"'.encode("utf-16-le") + b"\x00\xd8" + '","answer":"a"}'.encode("utf-16-le"),
        "invalid_encoding",
    ),
    # JSON
    "a list that is not closed": ("a.json", lambda: b"[" + GOOD + b"," + GOOD, "invalid_json"),
    "a list with a comma too many": ("a.json", lambda: b"[" + GOOD + b",]", "invalid_json"),
    "a list that goes on after its end": ("a.json", lambda: b"[" + GOOD + b"] []", "invalid_json"),
    "a list of texts": ("a.json", lambda: b'["q", "a"]', "not_an_object"),
    "an empty list": ("a.json", lambda: b"[]", "empty_file"),
    "a million brackets": ("a.json", lambda: b"[" * MIB, "invalid_json"),
    "an element of 10 MB": ("a.json", lambda: b"[" + row(x="x" * 10_000_000) + b"]", "line_too_long"),
    "a text that never ends": ("a.json", lambda: b'[{"question": "' + b"x" * 10_000_000, "invalid_json"),
    "an object around a list, not closed": ("a.json", lambda: b'{"data": [' + GOOD + b"]", "invalid_json"),
    "the list under another name": ("a.json", lambda: b'{"train": [' + GOOD.strip() + b"]}", "unknown_shape"),
    # CSV
    "10,000 columns": (
        "a.csv",
        lambda: (",".join(f"c{n}" for n in range(10_000)) + "\n" + ",".join("x" * 10_000) + "\n").encode(),
        "too_many_columns",
    ),
    "a quote never closed": (
        "a.csv",
        lambda: b'question,answer\nq,"a\n' + b"x,y\n" * 10,
        "invalid_csv",
    ),
    "a quote never closed in 20 MB": (
        "a.csv",
        lambda: b'question,answer\nq,"a\n' + (b"x" * 2000 + b",y\n") * 10_000,
        "line_too_long",
    ),
    "too few cells": ("a.csv", lambda: b"question,answer\nq\n", "wrong_cell_count"),
    "too many cells": ("a.csv", lambda: b"question,answer\nq,a,b\n", "wrong_cell_count"),
    "a column twice": ("a.csv", lambda: b"question,answer,answer\nq,a,b\n", "invalid_header"),
    "only a header": ("a.csv", lambda: b"question,answer\n", "empty_file"),
    "one column": ("a.csv", lambda: b"question\nq\n", "unknown_shape"),
    "NUL in a cell": ("a.csv", lambda: b"question,answer\nq,a\nq,\0\n", "nul_character"),
    "a cell of 10 MB": ("a.csv", lambda: b"question,answer\nq," + b"a" * 10_000_000 + b"\n", "line_too_long"),
    "CSV broken within UTF-8": (
        "a.csv",
        lambda: "question,answer\né,ü\n".encode() + b"\xff\xfe,a\n",
        "invalid_encoding",
    ),
    "an empty cell for the answer": ("a.csv", lambda: b"question,answer\nq,\n", "empty_answer"),
    # Parquet
    "only the mark of Parquet": ("a.parquet", lambda: b"PAR1", "invalid_parquet"),
    "Parquet cut short": ("a.parquet", lambda: parquet({"question": ["q"], "answer": ["a"]})[:-30], "invalid_parquet"),
    "Parquet with noise inside": (
        "a.parquet",
        lambda: b"PAR1" + bytes(range(256)) * 40 + struct.pack("<I", 5000) + b"PAR1",
        "invalid_parquet",
    ),
    "Parquet with nested types but no question": (
        "a.parquet",
        lambda: parquet({"a": [{"b": [{"c": 1}]}], "m": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}),
        "unknown_shape",
    ),
    "Parquet with NaN": ("a.parquet", lambda: parquet({"question": ["q"], "answer": [float("nan")]}), "invalid_number"),
    "Parquet with a list as question": (
        "a.parquet",
        lambda: parquet({"question": [[1, 2]], "answer": ["a"]}),
        "invalid_messages",
    ),
    "Parquet with a duration as question": (
        "a.parquet",
        lambda: parquet({"question": [timedelta(days=1)], "answer": ["a"]}),
        "invalid_messages",
    ),
    "Parquet without rows": (
        "a.parquet",
        lambda: parquet({"question": pa.array([], pa.string()), "answer": pa.array([], pa.string())}),
        "empty_file",
    ),
    "Parquet with 2,000 columns": (
        "a.parquet",
        lambda: parquet({f"c{n}": [1] for n in range(2000)}),
        "too_many_columns",
    ),
    "Parquet with two columns of one name": ("a.parquet", two_columns_of_one_name, "invalid_header"),
    "Parquet that repeats one value for ever": ("a.parquet", repeated_value, "file_too_large"),
    "Parquet of 20 million rows": (
        "a.parquet",
        lambda: parquet({"question": pa.nulls(20_000_000), "answer": pa.nulls(20_000_000)}),
        "too_many_rows",
    ),
    # gzip
    "gzip cut short": ("a.jsonl.gz", lambda: gzip.compress(GOOD * 100)[:-10], "invalid_gzip"),
    "gzip of noise": ("a.jsonl.gz", lambda: b"\x1f\x8b" + bytes(range(256)), "invalid_gzip"),
    "gzip bomb": ("a.jsonl.gz", lambda: gzip.compress(bytes(100 * MIB)), "file_too_large"),
    "gzip in gzip": ("a.jsonl.gz", lambda: gzip.compress(gzip.compress(GOOD)), "other_format"),
    # ZIP
    "only the mark of ZIP": ("a.zip", lambda: b"PK\x03\x04", "invalid_zip"),
    "ZIP cut short": ("a.zip", lambda: zipped(("t.jsonl", GOOD))[:-15], "invalid_zip"),
    "an empty ZIP": ("a.zip", lambda: zipped(), "invalid_zip"),
    "ZIP with a wrong checksum": ("a.zip", wrong_checksum, "invalid_zip"),
    "ZIP with a false directory size": ("a.zip", lying_directory, "invalid_zip"),
    "ZIP with two tables": ("a.zip", lambda: zipped(("a.jsonl", GOOD), ("b.csv", b"question,answer\n")), "invalid_zip"),
    "ZIP without a table": ("a.zip", lambda: zipped(("images/a.png", png())), "invalid_zip"),
    "ZIP with a path upwards": ("a.zip", lambda: zipped(("t.jsonl", GOOD), ("../../etc/x.png", b"")), "invalid_zip"),
    "ZIP with an absolute path": ("a.zip", lambda: zipped(("t.jsonl", GOOD), ("/etc/x.png", b"")), "invalid_zip"),
    "ZIP with a Windows path": ("a.zip", lambda: zipped(("t.jsonl", GOOD), ("C:\\x.png", b"")), "invalid_zip"),
    "ZIP with backslashes upwards": ("a.zip", lambda: zipped(("t.jsonl", GOOD), ("..\\x.png", b"")), "invalid_zip"),
    "ZIP with a symlink": (
        "a.zip",
        lambda: zipped(("t.jsonl", GOOD), (special("images/a.png", stat.S_IFLNK | 0o777), b"/etc/passwd")),
        "invalid_zip",
    ),
    "ZIP with a symlink as table": (
        "a.zip",
        lambda: zipped((special("t.jsonl", stat.S_IFLNK | 0o777), b"/etc/passwd")),
        "invalid_zip",
    ),
    "ZIP with a device": (
        "a.zip",
        lambda: zipped(("t.jsonl", GOOD), (special("images/z", stat.S_IFCHR | 0o666), b"")),
        "invalid_zip",
    ),
    "an encrypted ZIP": ("a.zip", encrypted, "invalid_zip"),
    "ZIP packed with LZMA": ("a.zip", lambda: zipped(("t.jsonl", GOOD), how=zipfile.ZIP_LZMA), "invalid_zip"),
    "ZIP bomb": ("a.zip", lambda: zipped(("t.jsonl", bytes(100 * MIB))), "file_too_large"),
    "ZIP bomb next to the table": (
        "a.zip",
        lambda: zipped(("t.jsonl", GOOD), *((f"images/{n}.png", bytes(20 * MIB)) for n in range(4))),
        "file_too_large",
    ),
    "ZIP in ZIP": ("a.zip", lambda: zipped(("t.jsonl", zipped(("t.jsonl", GOOD)))), "other_format"),
    "ZIP with too many members": ("a.zip", many_members, "invalid_zip"),
    "an Excel workbook of nothing": (
        "a.xlsx",
        lambda: zipped(("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>")),
        "invalid_workbook",
    ),
    "an Excel workbook bomb": ("a.xlsx", lambda: workbook([["question", "x" * 100 * MIB]]), "file_too_large"),
    # Images
    "a picture's path without a ZIP": ("a.jsonl", lambda: row(image="images/a.png"), "image_missing"),
    "a picture that the ZIP lacks": ("a.zip", lambda: zipped(("t.jsonl", row(image="images/a.png"))), "image_missing"),
    "a picture outside of the ZIP": (
        "a.zip",
        lambda: zipped(("t.jsonl", row(image="../../../../etc/passwd"))),
        "image_missing",
    ),
    "a picture elsewhere": ("a.jsonl", lambda: row(image="http://169.254.169.254/a.png"), "images_not_supported"),
    "a picture on the server": ("a.jsonl", lambda: row(image="file:///etc/passwd"), "images_not_supported"),
    "a picture that is no base64": ("a.jsonl", lambda: row(image="data:image/png;base64,!!!!"), "image_unreadable"),
    "a picture that is text": ("a.jsonl", lambda: row(image=data_url(b"hello")), "image_unreadable"),
    "a picture cut short": ("a.jsonl", lambda: row(image=data_url(png(64, 64)[:90])), "image_unreadable"),
    "PNG bomb by its header": ("a.jsonl", lambda: row(image=data_url(png_bomb(60_000, 60_000))), "image_too_large"),
    "PNG bomb of 30 megapixels": ("a.jsonl", lambda: row(image=data_url(png(6000, 5000))), "image_too_large"),
    "PNG bomb by its comment": ("a.jsonl", lambda: row(image=data_url(text_bomb())), "image_unreadable"),
    "SVG": ("a.jsonl", lambda: row(image=data_url(b"<svg onload='alert(1)'/>", "svg+xml")), "image_unreadable"),
    "PostScript": ("a.jsonl", lambda: row(image=data_url(b"%!PS-Adobe-3.0 EPSF-3.0\n")), "image_unreadable"),
    "a picture of too many bytes": (
        "a.zip",
        lambda: zipped(("t.jsonl", row(image="a.png")), ("images/a.png", png() + bytes(MAX_IMAGE_BYTES))),
        "image_too_large",
    ),
    "a number for a picture": ("a.jsonl", lambda: row(image=7), "image_missing"),
    "too many places": ("a.jsonl", lambda: row(question="<image> " * 2, images=[data_url(png())]), "image_count"),
    "too many pictures": ("a.jsonl", lambda: row(question="<image>", images=[data_url(png())] * 2), "image_count"),
    "a part without a picture": ("a.jsonl", lambda: question([{"type": "image_url", "image_url": {}}]), "image_count"),
    # Other things under a wrong name
    "a PNG image": ("a.jsonl", png, "other_format"),
    "an ODS": ("a.ods", lambda: zipped(("mimetype", b"x"), ("content.xml", b"<x/>")), "other_format"),
    "an XLSB": ("a.xlsb", lambda: zipped(("[Content_Types].xml", b"x"), ("xl/workbook.bin", b"x")), "other_format"),
    "an XLS": ("a.xls", lambda: b"\xd0\xcf\x11\xe0" + b"x" * 600, "other_format"),
    "a PDF": ("a.csv", lambda: b"%PDF-1.7\n%rest", "other_format"),
    "a pickle": ("a.json", lambda: b"\x80\x04\x95\x10\x00\x00", "other_format"),
    "a program": ("a.jsonl", lambda: b"\x7fELF\x02\x01\x01", "other_format"),
    "a web page": ("a.jsonl", lambda: b"<!doctype html>\n<html></html>\n", "other_format"),
    "a Python list": ("a.json", lambda: b"[{'question': 'q', 'answer': 'a'}]", "invalid_json"),
}  # fmt: skip


def test_there_are_at_least_sixty_cases() -> None:
    assert len(CASES) >= 60


def stored_objects() -> int:
    with transaction() as session:
        return sum(
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in (File, DatasetRow, FileImage, Blob, BlobChunk)
        )


def open_files() -> int:
    """Count open files and pipes. Connections to the database are not counted: their pool opens one more at times."""
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the descriptor of this list
            targets.append(descriptor.readlink())
    return sum(not target.name.startswith("socket:") for target in targets)


@pytest.fixture(autouse=True)
def limit_of_64_mib(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("RLSD_MAX_UPLOAD_BYTES", str(64 * MIB))
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.parametrize(("filename", "build", "code"), CASES.values(), ids=CASES)
def test_a_hostile_file_is_refused_with_a_message_and_leaves_nothing(
    clean_database: Services, filename: str, build: Callable[[], bytes], code: str
) -> None:
    content = build()
    stored_objects()
    files_before = open_files()
    start = time.monotonic()
    with pytest.raises(AppError) as refusal, transaction() as session:
        store_dataset(session, io.BytesIO(content), project=DEFAULT_PROJECT, filename=filename, mapping=None)
    assert time.monotonic() - start < 10
    assert (refusal.value.code, refusal.value.param) == (code, "file")
    assert 400 <= refusal.value.status < 500
    message = refusal.value.message
    assert message.endswith(".")
    assert len(message) < 500
    assert message.isprintable()
    assert stored_objects() == 0
    del refusal  # whose traceback holds the process that read the file
    if open_files() > files_before:
        gc.collect()
    assert open_files() <= files_before
