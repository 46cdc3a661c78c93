"""What PostgreSQL can store of a text."""

from typing import Any


def storable(value: Any) -> Any:
    """Replace, in a text or in JSON, what neither a text nor a JSON column takes: NUL characters, lone surrogates."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {storable(key): storable(inner) for key, inner in value.items()}
    return [storable(inner) for inner in value] if isinstance(value, list | tuple) else value
