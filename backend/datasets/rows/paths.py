"""Columns of a row and dotted paths into them: their values, and their names however they are written."""

import json
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

SEPARATORS = re.compile(r"[\s_-]+")
ABSENT = object()
ANY_OF = ".*"
"""The end of a path to a list of answers of which any one is right; it stands for the list."""


def has_path(item: Mapping[str, Any], path: str) -> bool:
    """Return whether the row has this column or dotted path; its value may be null."""
    return _lookup(item, path) is not ABSENT


def value_at(item: Mapping[str, Any], path: str) -> Any:
    """Return the value of a column or dotted path; None if it does not exist."""
    value = _lookup(item, path)
    return None if value is ABSENT else value


def text_at(item: Mapping[str, Any], path: str | None) -> str | None:
    """Return the value of a column or dotted path as text; None if it does not exist or is empty."""
    value = None if path is None else value_at(item, path)
    text = "" if value in (None, [], {}) else text_of(value)
    return text if text.strip() else None


def text_of(value: object) -> str:
    """Return a string unchanged, any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lookup(item: Mapping[str, Any], path: str) -> Any:
    path = path.removesuffix(ANY_OF)
    if path in item:
        return item[path]
    value: Any = item
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return ABSENT
        value = value[name]
    return value


@lru_cache(maxsize=4096)
def canonical(column: str) -> str:
    """Return a column's name without case, surrounding blanks and invisible characters, with `_` between words."""
    visible = "".join(c for c in column if unicodedata.category(c) != "Cf")
    return SEPARATORS.sub("_", visible.strip()).casefold()
