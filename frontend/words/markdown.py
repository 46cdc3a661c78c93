"""User input in Markdown: shown literally, never parsed as markup."""

import re


def plain(text: str) -> str:
    """Escape a text so that Markdown shows it literally."""
    return re.sub(r"([\\`*_\[\]<>$:~#])", r"\\\1", text)


def sentence(text: str) -> str:
    """Escape a sentence of the service, which may quote what users wrote, apart from code between backticks."""
    return "".join(part if number % 2 else plain(part) for number, part in enumerate(re.split(r"(`[^`\n]+`)", text)))


def address(written: str) -> str:
    """Format an e-mail or web address as code, so that it does not become a link."""
    return f"`{written.replace('`', '')}`"
