"""The screenshots in docs are those that the browser tests take: none is missing, none is outdated."""

import re
from pathlib import Path

from tests.browser.conftest import IN_DARK_TOO

ROOT = Path(__file__).resolve().parents[2]
STORED = {path.stem for path in (ROOT / "docs" / "screenshots").glob("*.png")}


def taken() -> list[str]:
    """Return patterns of the names that tests pass to `shoot`; computed parts match any word."""
    texts = [path.read_text() for path in (ROOT / "tests" / "browser").glob("test_*.py")]
    named = [name for text in texts for name in re.findall(r'shoot\(\w+, f?"([^"]+)"\)', text)]
    in_lists = [name for text in texts for name in re.findall(r'\(\w+, "(job-verdict[\w-]*)"\)', text)]
    return [re.sub(r"\{[^}]*\}", r"[\\w-]+", name) for name in (*named, *in_lists)]


def test_every_screenshot_taken_is_stored() -> None:
    names = taken()
    assert len(names) > 50
    assert [name for name in names if not any(re.fullmatch(name, stored) for stored in STORED)] == []
    assert [name for name in IN_DARK_TOO if f"{name}-dark" not in STORED] == []


def test_every_stored_screenshot_is_taken() -> None:
    names = [*taken(), *(f"{name}-dark" for name in IN_DARK_TOO)]
    assert [stored for stored in sorted(STORED) if not any(re.fullmatch(name, stored) for name in names)] == []
