"""Opaque identifiers with a prefix for the kind of object: `file-…`, `ftjob-…`."""

import secrets

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTH = 24


def new_id(prefix: str) -> str:
    """Return `prefix` + `-` + 24 random characters (124 bits)."""
    return f"{prefix}-{''.join(secrets.choice(ALPHABET) for _ in range(LENGTH))}"
