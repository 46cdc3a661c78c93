"""Context length of a model, read from `config.json` in its folder if that is accessible. No weights are loaded."""

import json
from collections.abc import Mapping
from pathlib import Path

from backend.errors import AppError

CONTEXT_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")
"""Names of the setting in `config.json`, depending on the architecture."""
MAX_CONFIG_BYTES = 1024 * 1024


def require_fits(model: str, *, models: Mapping[str, str], max_completion_tokens: int, param: str) -> None:
    """Raise AppError naming `param` if completions leave no room for a prompt. Unknown context lengths pass."""
    context = context_tokens(models.get(model))
    if context is not None and max_completion_tokens >= context:
        raise AppError(
            f"max_completion_tokens {max_completion_tokens} leaves no room for a prompt: the context length of model "
            f"'{model}' is {context} tokens. Lower max_completion_tokens.",
            code="invalid_value",
            param=param,
        )


def context_tokens(folder: str | None) -> int | None:
    """Return the context length; None if the folder is not accessible or its configuration has no such setting."""
    if folder is None:
        return None
    path = Path(folder) / "config.json"
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            return None
        config = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict):
        return None
    text = config.get("text_config")
    for part in (text if isinstance(text, dict) else {}, config):
        for name in CONTEXT_LENGTH_KEYS:
            if type(part.get(name)) is int and part[name] > 0:
                return int(part[name])
    return None
