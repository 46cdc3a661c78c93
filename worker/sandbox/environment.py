"""Which libraries verifiers can import beside the standard library: a folder of their own, never this environment's.

A folder made by `pip install --target` from a pinned list; without one there is the standard library alone. Its hash
belongs in the manifest of a job, because another version may score differently.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Libraries:
    """`folder` is None for the standard library alone; `preload` names modules that the server imports at start."""

    folder: Path | None = None
    preload: tuple[str, ...] = ()

    def digest(self) -> str | None:
        """sha256 over the relative names and contents of all files, in hexadecimal; None without a folder."""
        if self.folder is None:
            return None
        total = hashlib.sha256()
        for path in sorted(path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            name = path.relative_to(self.folder).as_posix().encode()
            total.update(len(name).to_bytes(4) + name + hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()


STANDARD_LIBRARY = Libraries()
