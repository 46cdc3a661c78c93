"""Common to all tables: constraint names, column types, UTC time."""

from datetime import UTC, datetime
from typing import Any, overload

from sqlalchemy import BigInteger, DateTime, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

Json = dict[str, Any]

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base class of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy's own class-level setting)
        str: Text,
        int: BigInteger,
        datetime: DateTime(timezone=True),
        Json: JSONB(none_as_null=True),
        list[Any]: JSONB(none_as_null=True),
    }


def utc_now() -> datetime:
    return datetime.now(UTC)


@overload
def unix_s(moment: datetime) -> int: ...
@overload
def unix_s(moment: datetime | None) -> int | None: ...
def unix_s(moment: datetime | None) -> int | None:
    """Convert to Unix seconds, the API's format for times."""
    return None if moment is None else int(moment.timestamp())
