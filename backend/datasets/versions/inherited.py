"""Images that rows of a stored file name by path: a changed row may name them too, though the ZIP is not at hand."""

from functools import cached_property
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend import blobs
from backend.datasets.rows.images import held_image
from backend.datasets.rows.messages import messages_of, with_images
from backend.datasets.rows.recognise import Shape
from backend.datasets.rows.rows import NormalRow
from backend.db.files import ROWS_TOGETHER, DatasetRow, File


class InheritedImages:
    """The album of a file's rows. Its paths are gathered once, when the first is asked for."""

    lacks = "which no row of the file shows: write it as data:image/png;base64,..."

    def __init__(self, session: Session, file: File, *, shape: Shape) -> None:
        self._session = session
        self._file = file
        self._shape = shape

    def picture(self, path: str, *, max_bytes: int) -> bytes | None:
        """The bytes that a row of the file shows under this path; None where none does."""
        sha256 = self._paths.get(path)
        return None if sha256 is None else blobs.read(self._session, sha256)[: max_bytes + 1]

    @cached_property
    def _paths(self) -> dict[str, str]:
        if not self._file.report.get("with_images", 1):
            return {}
        found: dict[str, str] = {}
        for normal in self._session.scalars(
            select(DatasetRow.normal)
            .where(DatasetRow.file_id == self._file.id)
            .order_by(DatasetRow.number)
            .execution_options(yield_per=ROWS_TOGETHER)
        ):
            row = NormalRow.from_json(normal, number=0, line=1)
            if row.images:
                found |= dict(zip(paths_of(row.item, shape=self._shape), row.images, strict=True))
        return found


def paths_of(item: dict[str, Any], *, shape: Shape) -> list[str]:
    """How a row writes its images, in the order in which they are shown."""
    names = _Names()
    _, shown = with_images(messages_of(item, shape=shape), item, shape=shape, pictures=names)
    return [names.written[int(place)] for place in shown]


class _Names:
    """Keeps no image, only how it is written, cut where it is longer than a path can be."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def keep(self, value: Any, *, where: str) -> str:
        self.written.append(str(held_image(value))[:4096])
        return str(len(self.written) - 1)
