"""Shared fixtures: per run, one PostgreSQL and Valkey, one API and one worker per queue; emptied between tests.

With `pytest -n`, each process has services of its own.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import psycopg
import pytest
import uvicorn
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy import delete, text, update

os.environ.setdefault("OMP_NUM_THREADS", "1")

from backend.db.engine import driver_url, engine, transaction
from backend.db.keys import create_key
from backend.db.models import metadata
from backend.db.projects import DEFAULT_PROJECT, Project
from backend.queue import celery_app
from backend.settings import settings
from backend.stack.embedded import Services, embedded_services
from tests.kept_workers import KeptWorkers
from tests.processes import wait_for

hypothesis_settings.register_profile("shared_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("shared_machine")

EMPTIED_TABLES = sorted(set(metadata.tables) - {"projects"})
"""Tables that are emptied between tests."""


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The embedded database and broker, migrated. Unix sockets need a short path, so not under pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="rlsd-") as home, embedded_services(Path(home)) as running:
        os.environ["DATABASE_URL"] = running.database_url
        os.environ["BROKER_URL"] = running.broker_url
        settings.cache_clear()
        _disable_durability(running)
        yield running
        engine().dispose()


def _disable_durability(running: Services) -> None:
    """Do not wait for the disk: no test crashes the machine, and everything is deleted at the end."""
    with psycopg.connect(driver_url(running.database_url), autocommit=True) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def kept_workers(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptWorkers]:
    """Workers that are reused by all tests of a run."""
    workers = KeptWorkers(tmp_path_factory.mktemp("workers"))
    yield workers
    workers.close()


@pytest.fixture
def clean_database(services: Services, kept_workers: KeptWorkers) -> Services:
    """Empty all tables but for the default project, without quotas, and all queues; suspend all workers.

    DELETE is faster on small tables than TRUNCATE, which creates a new file for each.
    """
    kept_workers.suspend()
    with transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))  # skips foreign key checks
        session.execute(text("; ".join(f"DELETE FROM {table}" for table in EMPTIED_TABLES)))
        session.execute(delete(Project).where(Project.id != DEFAULT_PROJECT))
        session.execute(update(Project).values(name="default", quotas={}))
    with celery_app.connection_for_write() as connection:
        connection.default_channel.client.flushdb()
    return services


@pytest.fixture
def key(clean_database: Services) -> str:
    """An API key in an otherwise empty database."""
    with transaction() as session:
        return create_key(session, name="test")[1]


@pytest.fixture(scope="session")
def api_url(services: Services) -> Iterator[str]:
    """The URL of a real API server, run in a thread of this process."""
    from backend.app import create_app

    config = uvicorn.Config(create_app(), host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started or not thread.is_alive(), timeout_s=20, what="the API")
    assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the models that workers have by name (`tests.service.training.listed_models`)."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def check_worker(clean_database: Services, kept_workers: KeptWorkers) -> int:
    """Run a real worker of the `check` queue; returns its process id. It sweeps only at its start, not in tests."""
    return kept_workers.resume("check", RLSD_SWEEP_S="86400").pid


@pytest.fixture
def sample_worker(clean_database: Services, kept_workers: KeptWorkers, models: Path) -> int:
    """Run a worker of the `sample` queue in the same way."""
    from tests.service.training import listed_models

    return kept_workers.resume("sample", RLSD_SWEEP_S="86400", RLSD_MODELS=listed_models(models)).pid


@pytest.fixture
def chat_worker(clean_database: Services, kept_workers: KeptWorkers) -> Popen[bytes]:
    """Run the chat server, and wait until it has registered."""
    from tests.service.chatting import servers

    process = kept_workers.resume("chat", HF_HUB_OFFLINE="1")
    wait_for(servers, timeout_s=30, what="the chat server")
    return process


@pytest.fixture
def train_worker(clean_database: Services, kept_workers: KeptWorkers, models: Path) -> Path:
    """Run a worker of the `train` queue with short timeouts; returns its log."""
    from tests.service.training import FAST, listed_models

    kept_workers.resume("train", **FAST, RLSD_MODELS=listed_models(models))
    return kept_workers.log("train")
