"""Many rows out of few that the application itself has written."""

from collections.abc import Mapping
from typing import Any

import psycopg


def copy_rows(
    database: psycopg.Connection[tuple[Any, ...]],
    table: str,
    *,
    changed: Mapping[str, str],
    source: str,
    values: Mapping[str, object],
) -> None:
    """Add to a table what `FROM table old, source` gives, each column as it is or as the SQL in `changed` has it."""
    columns = database.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", (table,))
    names = [str(name) for (name,) in columns]
    said = ", ".join(changed.get(name, f'old."{name}"') for name in names)
    quoted = ", ".join(f'"{name}"' for name in names)
    database.execute(f"INSERT INTO {table} ({quoted}) SELECT {said} FROM {table} old, {source}", values)  # noqa: S608
