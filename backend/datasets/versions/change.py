"""How a version says what was done to make it: a sentence, and the figures behind it. Pure.

`{summary, from: {id, filename, rows}, edits?, filters?, split?}`, kept with the file, so it outlives its parent.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any

from backend.datasets.versions.filters import (
    ExactDuplicates,
    Filter,
    NearDuplicates,
    QuestionLength,
    RowNumbers,
    SolveRate,
    TextFilter,
    Warned,
)

LISTED_ROWS = 100
MAX_NAME_CHARACTERS = 255
VERSION = re.compile(r"\.v(\d{1,6})$")
SUFFIXES = re.compile(r"(\.(jsonl|ndjson|json|csv|tsv|tab|parquet|gz|zip|txt))+$", re.IGNORECASE)


def next_name(filename: str, *, taken: Collection[str]) -> str:
    """`rows.csv.gz` -> `rows.v2.jsonl`; `rows.v2.jsonl` -> `rows.v3.jsonl`, or the next number that is not taken."""
    stem, version = _parts(filename)
    name = f"{stem}.v{version + 1}.jsonl"
    while name in taken:
        version += 1
        name = f"{stem}.v{version + 1}.jsonl"
    return name


def side_name(filename: str, *, side: str) -> str:
    """`rows.v2.jsonl` -> `rows.v2.train.jsonl`."""
    return f"{SUFFIXES.sub('', filename)[: MAX_NAME_CHARACTERS - 30] or 'rows'}.{side}.jsonl"


def _parts(filename: str) -> tuple[str, int]:
    stem = SUFFIXES.sub("", filename) or "rows"
    found = VERSION.search(stem)
    stem, version = (stem[: found.start()], int(found[1])) if found else (stem, 1)
    return stem[: MAX_NAME_CHARACTERS - 20] or "rows", version


def edits_said(*, replaced: Collection[int], deleted: Collection[int], appended: int) -> tuple[str, dict[str, Any]]:
    """(in words, in figures)."""
    parts = [
        f"{_rows(len(numbers))} {verb}{_which(numbers)}"
        for numbers, verb in ((replaced, "rewritten"), (deleted, "deleted"))
        if numbers
    ]
    parts += [f"{_rows(appended)} added"] if appended else []
    figures = {
        "rewritten": {"rows": len(replaced), "numbers": sorted(replaced)[:LISTED_ROWS]},
        "deleted": {"rows": len(deleted), "numbers": sorted(deleted)[:LISTED_ROWS]},
        "appended": {"rows": appended},
    }
    return ", ".join(parts), figures


def filters_said(filters: Sequence[Filter], *, left_out: Sequence[int]) -> tuple[str, list[dict[str, Any]]]:
    """(in words, each filter with the number of rows that it was the first to leave out)."""
    words = [f"{_rows(rows)} left out {_why(rule)}" for rule, rows in zip(filters, left_out, strict=True)]
    figures = [_shortened(rule) | {"left_out": rows} for rule, rows in zip(filters, left_out, strict=True)]
    return ", ".join(words), figures


def sentence(*parts: str) -> str:
    said = "; ".join(part for part in parts if part)
    return f"{said[:1].upper()}{said[1:]}."


def _why(rule: Filter) -> str:
    match rule:
        case SolveRate():
            reasons = [
                *(["never solved"] if rule.never_solved else []),
                *(["always solved"] if rule.always_solved else []),
                *([f"solved below {rule.min_rate:.0%}"] if rule.min_rate is not None else []),
                *([f"solved above {rule.max_rate:.0%}"] if rule.max_rate is not None else []),
                *(["not graded"] if rule.unseen == "leave_out" else []),
            ]
            return f"({' or '.join(reasons)} in {rule.job})"
        case ExactDuplicates():
            return "(equal to an earlier one)"
        case NearDuplicates():
            return "(nearly equal to an earlier one)"
        case Warned():
            return "(the report warned of them)"
        case QuestionLength():
            return f"(question above {rule.max_characters:,} characters)"
        case TextFilter():
            return f"({rule.leave_out} the text “{rule.contains[:60]}”)"
        case RowNumbers():
            return "(by number)"


def _shortened(rule: Filter) -> dict[str, Any]:
    """What was asked for; of long lists of rows their beginning, and how many there were."""
    asked = rule.model_dump(mode="json", exclude_none=True)
    for name in ("keep", "drop"):
        if name in asked and isinstance(rule, RowNumbers):
            asked |= {name: asked[name][:LISTED_ROWS], "named": len(asked[name])}
    return asked


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def _which(numbers: Collection[int]) -> str:
    """` (3, 7)`, where they are few enough to be read."""
    return f" ({', '.join(map(str, sorted(numbers)))})" if len(numbers) <= 5 else ""
