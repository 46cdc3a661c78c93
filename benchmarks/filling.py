"""Multiplication of database rows that the application has written."""

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
    """Insert the rows of `FROM table old, source` into the table, with the columns in `changed` replaced by its SQL."""
    columns = database.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", (table,))
    names = [str(name) for (name,) in columns]
    selected = ", ".join(changed.get(name, f'old."{name}"') for name in names)
    quoted = ", ".join(f'"{name}"' for name in names)
    database.execute(f"INSERT INTO {table} ({quoted}) SELECT {selected} FROM {table} old, {source}", values)  # noqa: S608
