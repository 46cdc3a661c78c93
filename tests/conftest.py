"""What tests share: one PostgreSQL and Valkey, one API and one worker for checks a run, emptied between tests.

With `pytest -n`, a run is one of its processes: each has services of its own.
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
from sqlalchemy import delete, text

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

EMPTIED = sorted(set(metadata.tables) - {"projects"})
"""Tables of which nothing is left between tests."""


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The stack's own database and broker, migrated. Unix sockets need a short path, so not under pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="rlsd-") as home, embedded_services(Path(home)) as running:
        os.environ["DATABASE_URL"] = running.database_url
        os.environ["BROKER_URL"] = running.broker_url
        settings.cache_clear()
        _forgo_durability(running)
        yield running
        engine().dispose()


def _forgo_durability(running: Services) -> None:
    """Write nothing to the disk in time: no test pulls the plug, and all of it is deleted at the end."""
    with psycopg.connect(driver_url(running.database_url), autocommit=True) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def kept_workers(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptWorkers]:
    kept = KeptWorkers(tmp_path_factory.mktemp("workers"))
    yield kept
    kept.close()


@pytest.fixture
def clean_database(services: Services, kept_workers: KeptWorkers) -> Services:
    """No row in any table but the first project, no message in any queue, no worker that has not been asked for.

    DELETE leaves a table of few rows sooner than TRUNCATE, which makes a new file of each.
    """
    kept_workers.stop()
    with transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))  # no foreign key is looked at
        session.execute(text("; ".join(f"DELETE FROM {table}" for table in EMPTIED)))
        session.execute(delete(Project).where(Project.id != DEFAULT_PROJECT))
    with celery_app.connection_for_write() as connection:
        connection.default_channel.client.flushdb()
    return services


@pytest.fixture
def key(clean_database: Services) -> str:
    """A key in an otherwise empty database."""
    with transaction() as session:
        return create_key(session, name="test")[1]


@pytest.fixture(scope="session")
def api_url(services: Services) -> Iterator[str]:
    """Address of a real server, a thread of this process."""
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
    """The folder of the models that workers know by name (`tests.service.training.listed_models`)."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def check_worker(clean_database: Services, kept_workers: KeptWorkers) -> int:
    """A real worker of the `check` queue: its process id. It leaves sweeping to the tests, but for its start."""
    return kept_workers.go_on("check", RLSD_SWEEP_S="86400").pid


@pytest.fixture
def sample_worker(clean_database: Services, kept_workers: KeptWorkers, models: Path) -> int:
    """The same for the `sample` queue."""
    from tests.service.training import listed_models

    return kept_workers.go_on("sample", RLSD_SWEEP_S="86400", RLSD_MODELS=listed_models(models)).pid


@pytest.fixture
def chat_worker(clean_database: Services, kept_workers: KeptWorkers) -> Popen[bytes]:
    """The server behind chat, once it has said that it is there."""
    from tests.service.chatting import servers

    process = kept_workers.go_on("chat", HF_HUB_OFFLINE="1")
    wait_for(servers, timeout_s=30, what="the chat server")
    return process


@pytest.fixture
def train_worker(clean_database: Services, kept_workers: KeptWorkers, models: Path) -> Path:
    """The same for the `train` queue, which soon notices what is lost; gives its log."""
    from tests.service.training import FAST, listed_models

    kept_workers.go_on("train", **FAST, RLSD_MODELS=listed_models(models))
    return kept_workers.log("train")
