"""Models and migrations define the same schema; a database of a newer version is refused."""

import json
from typing import Any

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
from backend.verifiers.specs import parse_spec

JOB = text(
    "INSERT INTO jobs (id, project_id, state, control_signal, model, training_file, seed, request, spec, grader, "
    "created_at, step, max_steps, trained_tokens, fence, futile_claims) "
    "VALUES (:id, 'p', 'paused', 'pause', 'm', 'f', 0, '{}', :spec, :grader, now(), 0, 1, 0, 0, 0)"
)


def test_the_migrated_schema_is_the_models_schema(services: Services) -> None:
    with engine().connect() as connection:
        differences = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True}),
            metadata,
        )
    assert differences == []


def migrated_jobs(services: Services, jobs: dict[str, dict[str, Any]], *, before: str, column: str) -> dict[str, Any]:
    """Insert jobs, given as the values of `spec` and `grader`, before a revision; return a column after all."""
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE before_{before}"))
    other = create_engine(sqlalchemy_url(services.database_url.replace("/rlsd?", f"/before_{before}?")))
    with other.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, f"{int(before) - 1:04}")
        connection.execute(text("ALTER TABLE jobs DISABLE TRIGGER ALL"))  # without a project and a file
        for name, values in jobs.items():
            given = {field: json.dumps(values.get(field, {})) for field in ("spec", "grader")}
            connection.execute(JOB, {"id": name} | given)
        command.upgrade(config, "head")
        found = dict(connection.execute(text(f"SELECT id, {column} FROM jobs")).tuples().all())
    other.dispose()
    return found


def test_jobs_of_before_special_tokens_were_kept_leave_them_out_as_they_did(services: Services) -> None:
    jobs = {"earlier": {"spec": {"temperature": 1.0}}, "later": {"spec": {"skip_special_tokens": False}}}
    assert migrated_jobs(services, jobs, before="0015", column="spec") == {
        "earlier": {"temperature": 1.0, "skip_special_tokens": True},
        "later": {"skip_special_tokens": False},
    }


def test_graders_of_jobs_from_before_scores_had_a_range_may_score_what_they_did(services: Services) -> None:
    source = {"type": "python", "source": "def grade(item, output_text): return 5"}
    wide = {"range": [-1e6, 1e6]}
    own = {"range": [0.0, 2.0]}
    parts = {"a": source, "b": source | own, "c": {"type": "number"}}
    several = {"type": "multi", "calculate_output": "a + b + c"}
    jobs = {
        "python": source,
        "with its own": source | own,
        "number": {"type": "number"},
        "multi": several | {"graders": parts},
        "multi with its own": several | own | {"graders": {"a": {"type": "number"}}},
    }
    found = migrated_jobs(services, {name: {"grader": grader} for name, grader in jobs.items()}, before="0016",
                          column="grader")  # fmt: skip
    assert found == {
        "python": source | wide,
        "with its own": source | own,
        "number": {"type": "number"},
        "multi": several | wide | {"graders": parts | {"a": source | wide}},
        "multi with its own": several | own | {"graders": {"a": {"type": "number"}}},
    }
    assert parse_spec(found["multi"]).bounds == (-1e6, 1e6)


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
