"""Which dataset belongs to which: the two sides of a split. Pure."""

from collections.abc import Sequence

from frontend.api.types import FileObject, Json
from frontend.words.starter import HELD_OUT, TRAINING


def side_of(file: FileObject) -> str | None:
    """Return the side of a split that a file is, `train` or `validation`; None for other files."""
    return _split(file).get("side")


def validation_of(file: FileObject, files: Sequence[FileObject]) -> str | None:
    """Return the id of the newest dataset made to measure what is learned from a file; None if there is none."""
    if file["filename"] == TRAINING:
        return next((other["id"] for other in files if other["filename"] == HELD_OUT), None)
    if side_of(file) != "train":
        return None
    wanted = (file.get("parent_id"), _split(file) | {"side": "validation"})
    return next((other["id"] for other in files if (other.get("parent_id"), _split(other)) == wanted), None)


def default_dataset(files: Sequence[FileObject]) -> str:
    """Return the id of the newest dataset to train on; of the newest if all were made to measure."""
    measuring = (HELD_OUT, "held_out.jsonl")
    found = (file for file in files if file["filename"] not in measuring and side_of(file) != "validation")
    return next(found, files[0])["id"]


def _split(file: FileObject) -> Json:
    found: Json = (file.get("change") or {}).get("split") or {}
    return found
