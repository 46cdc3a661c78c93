"""Opaque identifiers with a prefix that tells the kind: `file-…`, `ftjob-…` (SHAPES, API)."""

import secrets

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTH = 24


def new_id(prefix: str) -> str:
    """`prefix` + `-` + 24 random characters (124 bits)."""
    return f"{prefix}-{''.join(secrets.choice(ALPHABET) for _ in range(LENGTH))}"
