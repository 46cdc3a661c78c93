"""Real services for the tests: one embedded PostgreSQL and Valkey a session, emptied between tests."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy import delete, text

os.environ.setdefault("OMP_NUM_THREADS", "1")

from backend.db.engine import engine, transaction
from backend.db.models import metadata
from backend.db.projects import DEFAULT_PROJECT, Project
from backend.embedded import Services, embedded_services
from backend.queue import celery_app
from backend.settings import settings

hypothesis_settings.register_profile("shared_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("shared_machine")


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The stack's own database and broker, migrated. Unix sockets need a short path, so not under pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="rlsd-") as home, embedded_services(Path(home)) as running:
        os.environ["DATABASE_URL"] = running.database_url
        os.environ["BROKER_URL"] = running.broker_url
        settings.cache_clear()
        yield running
        engine().dispose()


@pytest.fixture
def clean_database(services: Services) -> Services:
    """No row in any table but the first project, no message in any queue."""
    with transaction() as session:
        session.execute(text(f"TRUNCATE {', '.join(set(metadata.tables) - {'projects'})}"))
        session.execute(delete(Project).where(Project.id != DEFAULT_PROJECT))
    with celery_app.connection_for_write() as connection:
        connection.default_channel.client.flushdb()
    return services
