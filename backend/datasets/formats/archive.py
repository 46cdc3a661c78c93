"""Compressed files: gzip, and a ZIP with one table and its images. Contents are unpacked to temporary files.

These are unnamed, so an archive's paths cannot overwrite anything; archives that try (absolute paths, `..`, links) are
refused all the same, and so are those that unpack to more than the upload limit.
"""

import gzip
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from backend.errors import AppError

PIECE_BYTES = 1024 * 1024
MAX_MEMBERS = 20_000
MAX_DIRECTORY_BYTES = 4 * 1024 * 1024
"""Limit for the central directory, which is read into memory as a whole."""
TABLE_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".gz")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
IMAGES = "images"
WORKBOOK = "xl/workbook.xml"
OTHER_SPREADSHEETS = {
    frozenset({"mimetype", "content.xml"}): "an OpenDocument spreadsheet (.ods)",
    frozenset({"[Content_Types].xml", "xl/workbook.bin"}): "a binary Excel workbook (.xlsb)",
}
"""Members that tell a spreadsheet of another format."""
IGNORED = ("__MACOSX", ".DS_Store", "Thumbs.db")
END = b"PK\x05\x06"
END64 = b"PK\x06\x06"


def unpack_gzip(file: BinaryIO, *, max_bytes: int) -> BinaryIO:
    """Unpack gzip data to a temporary file. Raises AppError if it is damaged or too large."""
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            return _to_temporary_file(cast("BinaryIO", packed), max_bytes=max_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise AppError(f"The gzip data is damaged: {error}.", code="invalid_gzip", param="file") from None


def no_workbook() -> AppError:
    return AppError(
        "The file is named .xlsx but is no Excel workbook, or a damaged one: open it in a spreadsheet program and save "
        "it again, as an Excel workbook (.xlsx) or CSV.",
        code="other_format",
        param="file",
    )


@dataclass(frozen=True, slots=True)
class Archive:
    """A validated ZIP. `table` is the path of its one table, `folder` the folder of that table."""

    zip: zipfile.ZipFile
    table: str

    @property
    def is_workbook(self) -> bool:
        return self.table == WORKBOOK

    @property
    def folder(self) -> PurePosixPath:
        return PurePosixPath(self.table).parent

    @property
    def missing_reason(self) -> str:
        return "which is not in the ZIP"

    def open_table(self, *, max_bytes: int) -> BinaryIO:
        try:
            with self.zip.open(self.table) as packed:
                return _to_temporary_file(cast("BinaryIO", packed), max_bytes=max_bytes)
        except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
            raise _damaged(error) from None

    def read_image(self, path: str, *, max_bytes: int) -> bytes | None:
        """Read the image at a path relative to the table or to its `images` folder; None if there is none.

        At most `max_bytes` + 1 bytes are read. Raises AppError if the archive is damaged.
        """
        for candidate in (self.folder / path, self.folder / IMAGES / path):
            try:
                with self.zip.open(str(candidate)) as packed:
                    return packed.read(max_bytes + 1)
            except KeyError:
                continue
            except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
                raise _damaged(error) from None
        return None


def open_zip(file: BinaryIO, *, max_bytes: int) -> Archive:
    """Open a ZIP. Raises AppError unless it is harmless and has one table with images or is an Excel workbook."""
    _check_directory(file)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as error:
        raise _damaged(error) from None
    members = [member for member in archive.infolist() if not member.is_dir()]
    names = {member.filename for member in members}
    if len(names) < len(members):
        raise _invalid("contains two files of the same name")
    for member in archive.infolist():
        _check_member(member)
    if sum(member.file_size for member in members) > max_bytes:
        raise AppError(
            f"The ZIP archive unpacks to more than {max_bytes} bytes.", status=413, code="file_too_large", param="file"
        )
    other = next((name for parts, name in OTHER_SPREADSHEETS.items() if parts <= names), None)
    if other is not None:
        raise AppError(
            f"The file is {other}, which is not supported: save it as an Excel workbook (.xlsx) or as CSV.",
            code="other_format",
            param="file",
        )
    is_workbook = {"[Content_Types].xml", WORKBOOK} <= names
    return Archive(archive, WORKBOOK if is_workbook else _find_table(names))


def _check_directory(file: BinaryIO) -> None:
    """Check the size of the central directory before reading it: in memory it takes a hundred times its size."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_557))
    tail = file.read()
    file.seek(0)
    end = tail.rfind(END)
    if end < 0 or len(tail) < end + 22:
        raise _invalid("is truncated: its file list is missing")
    members, directory_bytes = struct.unpack_from("<HI", tail, end + 10)
    end64 = tail.rfind(END64, 0, end)
    if end64 >= 0 and len(tail) >= end64 + 56:
        members64, directory_bytes64 = struct.unpack_from("<QQ", tail, end64 + 32)
        members, directory_bytes = max(members, members64), max(directory_bytes, directory_bytes64)
    elif directory_bytes == 0xFFFFFFFF:
        raise _invalid("is damaged: its file list is missing")
    if members > MAX_MEMBERS or directory_bytes > MAX_DIRECTORY_BYTES:
        raise _invalid(f"contains too many files: the limit is {MAX_MEMBERS:,}")


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or (len(name) > 1 and name[1] == ":"):
        raise _invalid(f"contains a path that leads outside it: {name!r:.80}")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _invalid(f"contains a link or a device: {name!r:.80}")
    if member.flag_bits & 1:
        raise _invalid(f"is encrypted: {name!r:.80}")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _invalid(f"compresses {name!r:.80} by a method other than deflate")


def _find_table(names: Iterable[str]) -> str:
    others = []
    for name in sorted(names):
        path = PurePosixPath(name)
        hidden = any(part in IGNORED or part.startswith("._") for part in path.parts)
        if not hidden and path.suffix.lower() not in IMAGE_SUFFIXES and IMAGES not in path.parts[:-1]:
            others.append(name)
    tables = [name for name in others if PurePosixPath(name).suffix.lower() in TABLE_SUFFIXES] or others
    if len(tables) != 1:
        found = ", ".join(repr(name)[:60] for name in tables[:5]) or "none"
        raise _invalid(
            f"must contain exactly one table next to its {IMAGES}/ folder, but contains {len(tables)}: {found}"
        )
    return tables[0]


def _to_temporary_file(packed: BinaryIO, *, max_bytes: int) -> BinaryIO:
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the caller
    size = 0
    try:
        while piece := packed.read(PIECE_BYTES):
            size += len(piece)
            if size > max_bytes:
                raise AppError(
                    f"The file unpacks to more than {max_bytes} bytes.",
                    status=413,
                    code="file_too_large",
                    param="file",
                )
            unpacked.write(piece)
    except BaseException:
        unpacked.close()
        raise
    unpacked.seek(0)
    return unpacked


def _damaged(error: Exception) -> AppError:
    return _invalid(f"is damaged: {error}")


def _invalid(problem: str) -> AppError:
    return AppError(f"The ZIP archive {problem}.", code="invalid_zip", param="file")
