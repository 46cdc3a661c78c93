"""Images that rows of a stored file reference by path: edited rows may reference them too, without the original ZIP."""

from functools import cached_property
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.rows.images import image_value
from backend.datasets.rows.messages import messages_of, with_images
from backend.datasets.rows.rows import NormalRow
from backend.datasets.rows.shape import Shape
from backend.db.files import ROWS_TOGETHER, DatasetRow, File


class InheritedImages:
    """The images of a file's rows by path. The paths are collected once, on first use."""

    missing_reason = "which no row of the file uses: embed it as data:image/png;base64,..."

    def __init__(self, session: Session, file: File, *, shape: Shape) -> None:
        self._session = session
        self._file = file
        self._shape = shape

    def read_image(self, path: str, *, max_bytes: int) -> bytes | None:
        """Return the bytes of the image that a row of the file has under this path; None if there is none."""
        sha256 = self._paths.get(path)
        return None if sha256 is None else blobs.read(self._session, sha256)[: max_bytes + 1]

    @cached_property
    def _paths(self) -> dict[str, str]:
        if not self._file.report.get("with_images", 1):
            return {}
        hashes: dict[str, str] = {}
        for normal in self._session.scalars(
            select(DatasetRow.normal)
            .where(DatasetRow.file_id == self._file.id)
            .order_by(DatasetRow.number)
            .execution_options(yield_per=ROWS_TOGETHER)
        ):
            row = NormalRow.from_json(normal, number=0, line=1)
            if row.images:
                hashes |= dict(zip(paths_of(row.item, shape=self._shape), row.images, strict=True))
        return hashes


def paths_of(item: dict[str, Any], *, shape: Shape) -> list[str]:
    """Return the images of a row as written in it, in order."""
    recorder = _PathRecorder()
    _, identifiers = with_images(messages_of(item, shape=shape), item, shape=shape, image_store=recorder)
    return [recorder.paths[int(identifier)] for identifier in identifiers]


class _PathRecorder:
    """Records images as written instead of storing them, cut at the maximum length of a path."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def keep(self, value: Any, *, where: str) -> str:
        self.paths.append(str(image_value(value))[:4096])
        return str(len(self.paths) - 1)
