"""Inside: files that a verifier writes with `open`. They are kept in memory and thrown away with the call.

The kernel refuses every write, and a verifier that writes a log often catches that together with its own errors, and
scores 0. What asks the kernel without `open` and `mkdir`, such as `os.open`, is still refused.
"""

import builtins
import io
import os
from pathlib import Path
from typing import Any

_open = io.open
_written: dict[str, bytes] = {}
"""Path -> content, of this call."""


class _File(io.BytesIO):
    """A file in memory that is there to be read again once it is closed."""

    def __init__(self, path: str, content: bytes, *, at_end: bool) -> None:
        super().__init__(content)
        self._path = path
        self.seek(0, io.SEEK_END if at_end else io.SEEK_SET)

    def close(self) -> None:
        if not self.closed:
            _written[self._path] = self.getvalue()
        super().close()


def install() -> None:
    """Let `open` write to memory, and let the making of folders succeed."""
    builtins.open = io.open = _opened
    os.mkdir = _made


def clear() -> None:
    _written.clear()


def _opened(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    path = None if isinstance(file, int) or opener else str(Path(os.fsdecode(file)).absolute())
    writes = not {"w", "a", "x"}.isdisjoint(mode)
    if path is None or not (writes or path in _written):
        return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    kept = b"" if "w" in mode else _written.get(path, b"")
    raw = _File(path, kept, at_end="a" in mode)
    if writes:
        _written[path] = kept
    return raw if "b" in mode else io.TextIOWrapper(raw, encoding or "utf-8", errors, newline, write_through=True)


def _made(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
    """Stand for `os.mkdir`, which `os.makedirs` and `Path.mkdir` call."""
