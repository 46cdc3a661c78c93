"""What people have typed, for Markdown: shown as it is, never taken for markup."""

import re


def plain(text: str) -> str:
    """Every character stands for itself."""
    return re.sub(r"([\\`*_\[\]<>$:~#])", r"\\\1", text)


def address(written: str) -> str:
    """An e-mail or web address: to be read, not followed."""
    return f"`{written.replace('`', '')}`"
