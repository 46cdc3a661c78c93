"""Names of a model's layers, read from the headers of its weights if its folder is accessible."""

import json
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.core.settings.update import ALL_LINEAR
from backend.errors import AppError

MAX_HEADER_BYTES = 8 * 1024 * 1024
EMBEDDING, HEAD = "embed_tokens", "lm_head"
_NAME = re.compile(r"[\w.-]+")


def require_targets(model: str, *, models: Mapping[str, str], targets: str | Sequence[str], param: str) -> None:
    """Raise AppError naming `param` if a target is the name of none of the model's layers. Unknown layers pass.

    A pattern never does: matching it could take a worker for ever.

    Only the last part of a name is compared, because a model's class may put its layers under another prefix than its
    files. The worker compares whole names, before it reads weights.
    """
    names = (targets,) if isinstance(targets, str) else targets
    for target in names:
        if not _NAME.fullmatch(target):
            raise AppError(
                f"lora.target_modules: '{target:.100}' is not the name of a layer: name layers, such as 'q_proj', or "
                f"use {ALL_LINEAR}.",
                code="no_such_layer",
                param=param,
            )
    folder = models.get(model)
    if targets == ALL_LINEAR or folder is None:
        return
    known = layer_names(Path(folder))
    if known is None:
        return
    for target in names:
        if target.rpartition(".")[2] not in known:
            raise AppError(
                f"lora.target_modules: '{target:.100}' is the name of no layer of '{model}' whose weight is its own: "
                f"choose from {', '.join(sorted(known))}, or use {ALL_LINEAR}.",
                code="no_such_layer",
                param=param,
            )


def layer_names(folder: Path) -> set[str] | None:
    """Return the last parts of the names of all layers with a weight matrix of their own; None if unknown."""
    names: set[str] = set()
    try:
        for path in folder.glob("*.safetensors"):
            names |= {
                name.split(".")[-2]
                for name, tensor in _header(path).items()
                if name.endswith(".weight") and len(tensor["shape"]) > 1
            }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error):
        return None
    if HEAD not in names:  # then it uses the weight of the embedding
        names.discard(EMBEDDING)
    return names or None


def _header(path: Path) -> dict[str, Any]:
    """Read the header of a safetensors file: its length in 8 bytes, then JSON."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > MAX_HEADER_BYTES:
            raise ValueError(f"the header of {path.name} is too large")
        header: dict[str, Any] = json.loads(file.read(size))
    return header
