"""Libraries that verifiers can import besides the standard library: in their own folder, never this environment's.

`python -m worker.sandbox.environment` creates it with `pip install --target` from the pinned list
(backend/verifiers/libraries.txt), as do `make` and a worker at its first start. Without it, verifiers have only the
standard library. Its hash is part of a job's manifest, because another version may score differently.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from backend.errors import AppError
from backend.verifiers import libraries

INSTALL_TIMEOUT_S = 900
# What a server imports and warms for a verifier that uses the library on the left, before it is confined.
_PRELOAD = {
    "dateutil": ("dateutil.parser", "dateutil.relativedelta", "dateutil.tz"),
    "jsonschema": ("jsonschema", "jsonschema.validators", "jsonschema.exceptions"),
    "math_verify": ("math_verify",),
    "nltk": ("nltk.translate.gleu_score", "nltk.translate.meteor_score"),
    "numpy": ("numpy", "numpy.random", "numpy.linalg"),
    "rapidfuzz": ("rapidfuzz.fuzz", "rapidfuzz.distance", "rapidfuzz.process"),
    "rouge_score": ("rouge_score.rouge_scorer",),
    "sympy": ("sympy", "sympy.parsing.sympy_parser"),
}


@dataclass(frozen=True, slots=True)
class Libraries:
    """Libraries for verifiers.

    `folder` is None for the standard library only; `preload` names modules that every server imports at start.
    """

    folder: Path | None = None
    preload: tuple[str, ...] = ()

    def digest(self) -> str | None:
        """SHA-256 over the relative names and contents of all files, in hexadecimal; None without a folder."""
        if self.folder is None:
            return None
        return _installed_digest(self.folder) if self.folder == libraries.folder() else _digest(self.folder)


STANDARD_LIBRARY = Libraries()


@lru_cache(maxsize=1)
def _installed_digest(folder: Path) -> str:
    """Compute the digest once: an installed folder never changes."""
    return _digest(folder)


def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        name = path.relative_to(folder).as_posix().encode()
        total.update(len(name).to_bytes(4) + name + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def installed_libraries() -> Libraries:
    """Return the libraries of the pinned list if installed, else the standard library."""
    return Libraries(folder=libraries.folder()) if libraries.installed() else STANDARD_LIBRARY


def preload_of(needed: Iterable[str]) -> tuple[str, ...]:
    """Return the modules to import for these libraries, sorted."""
    return tuple(sorted({module for name in needed for module in _PRELOAD.get(name, (name,))}))


def install() -> Path:
    """Create the folder if missing; concurrent callers wait. Raises AppError(503) with pip's last output."""
    target = libraries.folder()
    if libraries.installed():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not libraries.installed():
                _install(target)
    except OSError as error:
        raise _failed(str(error)) from error
    return target


def _install(target: Path) -> None:
    """Install into a temporary folder, renamed to the target once complete."""
    staging = Path(tempfile.mkdtemp(prefix="making-", dir=target.parent))
    try:
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade", "--target", str(staging)]
        run = subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, "--requirement", str(libraries.LIST)],
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
        if run.returncode != 0:
            raise _failed("\n".join(run.stderr.strip().splitlines()[-3:]))
        staging.chmod(0o755)
        os.rename(staging, target)  # noqa: PTH104 - fails if another process has created it, which `lock` rules out
    except subprocess.TimeoutExpired as error:
        raise _failed(f"pip took longer than {INSTALL_TIMEOUT_S} s") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _failed(details: str) -> AppError:
    return AppError(
        f"The libraries for verifiers could not be installed: {details}", status=503, code="libraries_missing"
    )


def main() -> None:
    if not libraries.installed():
        print("Installing the libraries for verifiers (numpy, sympy, math-verify and others) ...", flush=True)
    try:
        print(f"Libraries for verifiers: {install()}")
    except AppError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
