"""Packed files: gzip, and a ZIP of one table beside its images. What is unpacked goes to temporary files.

These have no name, so an archive's paths can overwrite nothing; yet one that tries (absolute paths, `..`, links) is
refused, and so is one that unpacks to more than may be uploaded.
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
"""Of the archive's list of members, which is read whole."""
TABLE_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".gz")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
IMAGES = "images"
WORKBOOK = "xl/workbook.xml"
LEFT_OUT = ("__MACOSX", ".DS_Store", "Thumbs.db")
END = b"PK\x05\x06"
END64 = b"PK\x06\x06"


def unpacked_gzip(file: BinaryIO, *, max_bytes: int) -> BinaryIO:
    """The content of gzip data. Raises AppError where it is broken, or too large."""
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            return _spooled(cast("BinaryIO", packed), max_bytes=max_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise AppError(f"The gzip data is damaged: {error}.", code="invalid_gzip", param="file") from None


@dataclass(frozen=True, slots=True)
class Archive:
    """A ZIP that was looked through: `table` names its one table, `folder` is the one it stands in."""

    zip: zipfile.ZipFile
    table: str

    @property
    def is_workbook(self) -> bool:
        return self.table == WORKBOOK

    @property
    def folder(self) -> PurePosixPath:
        return PurePosixPath(self.table).parent

    @property
    def lacks(self) -> str:
        return "which the ZIP does not hold"

    def open_table(self, *, max_bytes: int) -> BinaryIO:
        try:
            with self.zip.open(self.table) as packed:
                return _spooled(cast("BinaryIO", packed), max_bytes=max_bytes)
        except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
            raise _damaged(error) from None

    def picture(self, path: str, *, max_bytes: int) -> bytes | None:
        """The bytes at a path as a row writes it: beside the table, or in its `images` folder. None: not there.

        At most `max_bytes` + 1 of them. Raises AppError where the archive is damaged.
        """
        for place in (self.folder / path, self.folder / IMAGES / path):
            try:
                with self.zip.open(str(place)) as packed:
                    return packed.read(max_bytes + 1)
            except KeyError:
                continue
            except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
                raise _damaged(error) from None
        return None


def opened_zip(file: BinaryIO, *, max_bytes: int) -> Archive:
    """Raises AppError where it is no ZIP of one table and images, no Excel workbook, or tries something else."""
    _check_directory(file)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as error:
        raise _damaged(error) from None
    members = [member for member in archive.infolist() if not member.is_dir()]
    names = {member.filename for member in members}
    if len(names) < len(members):
        raise _refused("has two members of one name")
    for member in archive.infolist():
        _check_member(member)
    if sum(member.file_size for member in members) > max_bytes:
        raise AppError(
            f"The ZIP archive unpacks to more than {max_bytes} bytes.", status=413, code="file_too_large", param="file"
        )
    is_workbook = {"[Content_Types].xml", WORKBOOK} <= names
    return Archive(archive, WORKBOOK if is_workbook else _the_table(names))


def _check_directory(file: BinaryIO) -> None:
    """Look at the size of the list of members before it is read: each takes a hundred times its room in memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_557))
    tail = file.read()
    file.seek(0)
    place = tail.rfind(END)
    if place < 0 or len(tail) < place + 22:
        raise _refused("is cut short: its list of members is missing")
    members, directory_bytes = struct.unpack_from("<HI", tail, place + 10)
    wide = tail.rfind(END64, 0, place)
    if wide >= 0 and len(tail) >= wide + 56:
        wide_members, wide_bytes = struct.unpack_from("<QQ", tail, wide + 32)
        members, directory_bytes = max(members, wide_members), max(directory_bytes, wide_bytes)
    elif directory_bytes == 0xFFFFFFFF:
        raise _refused("is damaged: its list of members is missing")
    if members > MAX_MEMBERS or directory_bytes > MAX_DIRECTORY_BYTES:
        raise _refused(f"has too many members: {MAX_MEMBERS:,} are the most")


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or (len(name) > 1 and name[1] == ":"):
        raise _refused(f"has a member outside of it: {name!r:.80}")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(f"has a link or a device in it: {name!r:.80}")
    if member.flag_bits & 1:
        raise _refused(f"is encrypted: {name!r:.80}")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(f"packs {name!r:.80} by another way than deflate")


def _the_table(names: Iterable[str]) -> str:
    others = []
    for name in sorted(names):
        path = PurePosixPath(name)
        hidden = any(part in LEFT_OUT or part.startswith("._") for part in path.parts)
        if not hidden and path.suffix.lower() not in IMAGE_SUFFIXES and IMAGES not in path.parts[:-1]:
            others.append(name)
    tables = [name for name in others if PurePosixPath(name).suffix.lower() in TABLE_SUFFIXES] or others
    if len(tables) != 1:
        found = ", ".join(repr(name)[:60] for name in tables[:5]) or "none"
        raise _refused(f"must hold one table beside its {IMAGES}/ folder, and holds {len(tables)}: {found}")
    return tables[0]


def _spooled(packed: BinaryIO, *, max_bytes: int) -> BinaryIO:
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's, who closes it
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
            spool.write(piece)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool


def _damaged(error: Exception) -> AppError:
    return _refused(f"is damaged: {error}")


def _refused(why: str) -> AppError:
    return AppError(f"The ZIP archive {why}.", code="invalid_zip", param="file")
