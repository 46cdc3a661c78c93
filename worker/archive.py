"""A folder as a ZIP: same content, same bytes, whatever its size and whenever it was made."""

import shutil
import zipfile
from pathlib import Path

from worker.export import EPOCH

DENSE = (".safetensors", ".gguf")
"""Weights hardly get smaller, and take long to try."""


def write_archive(folder: Path, path: Path) -> None:
    """Write the files of `folder` into `path`, in the order of their names; each leaves the folder as it goes in."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(file.name, date_time=EPOCH)
            entry.compress_type = zipfile.ZIP_STORED if file.suffix in DENSE else zipfile.ZIP_DEFLATED
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1024 * 1024)
            file.unlink()
