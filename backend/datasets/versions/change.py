"""The description of how a version was created: a sentence and the figures behind it. Pure.

`{summary, from: {id, filename, rows}, edits?, filters?, split?}`, stored with the file, so it outlives its parent.
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
    """Return the next free name: `rows.csv.gz` -> `rows.v2.jsonl`; `rows.v2.jsonl` -> `rows.v3.jsonl`."""
    stem, version = _stem_and_version(filename)
    name = f"{stem}.v{version + 1}.jsonl"
    while name in taken:
        version += 1
        name = f"{stem}.v{version + 1}.jsonl"
    return name


def side_name(filename: str, *, side: str) -> str:
    """Return the name of a side of a split: `rows.v2.jsonl` -> `rows.v2.train.jsonl`."""
    return f"{SUFFIXES.sub('', filename)[: MAX_NAME_CHARACTERS - 30] or 'rows'}.{side}.jsonl"


def _stem_and_version(filename: str) -> tuple[str, int]:
    stem = SUFFIXES.sub("", filename) or "rows"
    found = VERSION.search(stem)
    stem, version = (stem[: found.start()], int(found[1])) if found else (stem, 1)
    return stem[: MAX_NAME_CHARACTERS - 20] or "rows", version


def describe_edits(*, replaced: Collection[int], deleted: Collection[int], appended: int) -> tuple[str, dict[str, Any]]:
    """Return (text, figures)."""
    parts = [
        f"{_rows(len(numbers))} {verb}{_row_list(numbers)}"
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


def describe_filters(filters: Sequence[Filter], *, left_out: Sequence[int]) -> tuple[str, list[dict[str, Any]]]:
    """Return (text, each filter with the number of rows that it was the first to leave out)."""
    texts = [f"{_rows(rows)} left out {_reason(rule)}" for rule, rows in zip(filters, left_out, strict=True)]
    figures = [_shortened(rule) | {"left_out": rows} for rule, rows in zip(filters, left_out, strict=True)]
    return ", ".join(texts), figures


def sentence(*parts: str) -> str:
    text = "; ".join(part for part in parts if part)
    return f"{text[:1].upper()}{text[1:]}."


def _reason(rule: Filter) -> str:
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
            return "(with a warning in the report)"
        case QuestionLength():
            return f"(question longer than {rule.max_characters:,} characters)"
        case TextFilter():
            return f"({rule.leave_out} the text “{rule.contains[:60]}”)"
        case RowNumbers():
            return "(by number)"


def _shortened(rule: Filter) -> dict[str, Any]:
    """Return the filter's settings; long lists of rows are cut, with their length."""
    values = rule.model_dump(mode="json", exclude_none=True)
    for name in ("keep", "drop"):
        if name in values and isinstance(rule, RowNumbers):
            values |= {name: values[name][:LISTED_ROWS], "named": len(values[name])}
    return values


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def _row_list(numbers: Collection[int]) -> str:
    """Format as ` (3, 7)` if there are at most five, else as ''."""
    return f" ({', '.join(map(str, sorted(numbers)))})" if len(numbers) <= 5 else ""
