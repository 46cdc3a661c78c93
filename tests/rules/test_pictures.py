"""The pictures in docs are those that the browser tests take: none is missing, none is left over from before."""

import re
from pathlib import Path

from tests.browser.conftest import IN_DARK_TOO

ROOT = Path(__file__).resolve().parents[2]
KEPT = {path.stem for path in (ROOT / "docs" / "screenshots").glob("*.png")}


def taken() -> list[str]:
    """Patterns of the names that tests give to `shoot`; what they work out stands for any word."""
    texts = [path.read_text() for path in (ROOT / "tests" / "browser").glob("test_*.py")]
    named = [name for text in texts for name in re.findall(r'shoot\(\w+, f?"([^"]+)"\)', text)]
    in_lists = [name for text in texts for name in re.findall(r'\(\w+, "(job-verdict[\w-]*)"\)', text)]
    return [re.sub(r"\{[^}]*\}", r"[\\w-]+", name) for name in (*named, *in_lists)]


def test_every_picture_that_is_taken_is_kept() -> None:
    names = taken()
    assert len(names) > 50
    assert [name for name in names if not any(re.fullmatch(name, kept) for kept in KEPT)] == []
    assert [name for name in IN_DARK_TOO if f"{name}-dark" not in KEPT] == []


def test_every_picture_that_is_kept_is_taken() -> None:
    names = [*taken(), *(f"{name}-dark" for name in IN_DARK_TOO)]
    assert [kept for kept in sorted(KEPT) if not any(re.fullmatch(name, kept) for name in names)] == []
