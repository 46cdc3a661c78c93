"""How many tokens a model takes in all, read from its folder where this process can see that; nothing is loaded."""

import json
from collections.abc import Mapping
from pathlib import Path

from backend.errors import AppError

NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")
"""What the setting is called, by architecture."""
MAX_CONFIG_BYTES = 1024 * 1024


def require_fits(model: str, *, models: Mapping[str, str], max_completion_tokens: int, param: str) -> None:
    """Raises AppError naming `param` where completions leave no room for a prompt. What cannot be known is let pass."""
    context = context_tokens(models.get(model))
    if context is not None and max_completion_tokens >= context:
        raise AppError(
            f"max_completion_tokens {max_completion_tokens} leaves no room for a prompt: model '{model}' takes "
            f"{context} tokens in all.",
            code="invalid_value",
            param=param,
        )


def context_tokens(folder: str | None) -> int | None:
    """None where there is no such folder here, or its configuration does not say."""
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
        for name in NAMES:
            if type(part.get(name)) is int and part[name] > 0:
                return int(part[name])
    return None
