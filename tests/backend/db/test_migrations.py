"""Models and migrations define the same schema; a database of a newer version is refused."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from backend.db.engine import engine, sqlalchemy_url
from backend.db.migrate import alembic_config, upgrade
from backend.db.models import metadata
from backend.errors import AppError
from backend.stack.embedded import Services


def test_the_migrated_schema_is_the_models_schema(services: Services) -> None:
    with engine().connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    assert differences == []


def test_migrations_can_be_applied_and_reverted_completely(services: Services) -> None:
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE up_and_down"))
    url = services.database_url.replace("/rlsd?", "/up_and_down?")
    upgrade(url)
    upgrade(url)
    other = create_engine(sqlalchemy_url(url))
    with other.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        left = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    assert left == ["alembic_version"]
    with other.begin() as connection:
        connection.execute(text("INSERT INTO alembic_version VALUES ('from_the_future')"))
    with pytest.raises(AppError, match="schema belongs to another version"):
        upgrade(url)
    other.dispose()
