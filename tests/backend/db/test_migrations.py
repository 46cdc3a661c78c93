"""Models and migrations define the same schema; a database of a newer version is refused."""

import json

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

JOB = text(
    "INSERT INTO jobs (id, project_id, state, control_signal, model, training_file, seed, request, spec, grader, "
    "created_at, step, max_steps, trained_tokens, fence, futile_claims) "
    "VALUES (:id, 'p', 'paused', 'pause', 'm', 'f', 0, '{}', :spec, '{}', now(), 0, 1, 0, 0, 0)"
)


def test_the_migrated_schema_is_the_models_schema(services: Services) -> None:
    with engine().connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    assert differences == []


def test_jobs_of_before_special_tokens_were_kept_leave_them_out_as_they_did(services: Services) -> None:
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE earlier"))
    url = services.database_url.replace("/rlsd?", "/earlier?")
    other = create_engine(sqlalchemy_url(url))
    with other.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0014")
        connection.execute(text("ALTER TABLE jobs DISABLE TRIGGER ALL"))  # without a project and a file
        for name, spec in {"earlier": {"temperature": 1.0}, "later": {"skip_special_tokens": False}}.items():
            connection.execute(JOB, {"id": name, "spec": json.dumps(spec)})
        command.upgrade(config, "head")
        found = dict(connection.execute(text("SELECT id, spec FROM jobs")).tuples().all())
    other.dispose()
    assert found == {
        "earlier": {"temperature": 1.0, "skip_special_tokens": True},
        "later": {"skip_special_tokens": False},
    }


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
