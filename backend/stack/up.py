"""`rlsd up`: starts, supervises and stops the embedded services and the processes of the application.

API, UI, three Celery workers (training, checks, sampling) and the chat server are children that die with this process.
A child that exits is restarted; one that keeps exiting stops the whole application with its last log lines, so that it
never runs incompletely.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import Popen

import httpx
from sqlalchemy import func, select

from backend.base_models import SMALL_MODEL, models_folder
from backend.db.engine import transaction
from backend.db.keys import count_keys, create_key
from backend.errors import AppError
from backend.settings import REPOSITORY, Settings
from backend.stack.embedded import Services, embedded_services, holder, prepare_home
from backend.stack.processes import run_module, start_module, stop

READY_TIMEOUT_S = 60.0
STOP_GRACE_S = 120.0
RESTART_LIMIT = 5
"""Restarts of one child within `RESTART_WINDOW_S` after which the application gives up."""
RESTART_WINDOW_S = 60.0
POLL_S = 0.3
MIN_KEY_CHARACTERS = 32
"""Least length of a key chosen by a person: it is stored as a fast hash, which allows many guesses."""
FIRST_KEY_LOCK = 7_215_003
"""Number of the advisory lock under which one process creates the first key."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The process id and URLs of a running application; stored in `RLSD_HOME/running.json` while it runs."""

    pid: int
    api_url: str
    ui_url: str | None
    database_url: str
    broker_url: str


@dataclass(slots=True)
class Child:
    """A child process, and the times at which it was started."""

    name: str
    arguments: list[str]
    environment: Mapping[str, str]
    process: Popen[bytes] | None = None
    starts: list[float] = field(default_factory=list)


def up(
    settings: Settings,
    *,
    host: str,
    api_port: int,
    ui_port: int | None,
    with_small_model: bool,
    say: Callable[[str], None],
    stopping: Callable[[], bool],
) -> None:
    """Run the application until `stopping`; `say` prints a line. Raises AppError if it cannot start or stay up.

    `with_small_model`: fetch it first, unless it is there.
    """
    home = prepare_home(settings.home)
    for name, option, port in (("API", "--api-port", api_port), ("UI", "--ui-port", ui_port)):
        if port is not None:
            require_free_port(host, port, name=name, option=option)
    if with_small_model:
        run_module(
            ["worker.commands.fetch_model", SMALL_MODEL],
            refusal=f"{SMALL_MODEL} could not be fetched: start without --with-smollm2, or try again.",
        )
    with embedded_services(home, database_url=settings.database_url, broker_url=settings.broker_url) as services:
        addresses = Addresses(
            pid=os.getpid(),
            api_url=f"http://{host}:{api_port}",
            ui_url=None if ui_port is None else f"http://{host}:{ui_port}",
            database_url=services.database_url,
            broker_url=services.broker_url,
        )
        first_key = ensure_key(services.database_url, settings)
        children = _children(services, addresses, models=models_folder(settings), host=host, ports=(api_port, ui_port))
        with ExitStack() as stack:
            stack.enter_context(_running(children, logs=home / "logs"))
            _wait_until_ready(addresses, children, logs=home / "logs", stopping=stopping)
            stack.enter_context(_published(home, addresses))
            say(f"UI   {addresses.ui_url or 'not started (--no-ui)'}")
            say(f"API  {addresses.api_url}/docs")
            say(f"Data {home}")
            if first_key is not None:
                say(f"Admin key (shown once): {first_key}")
            else:
                say("Sign in with one of your API keys; `rlsd keys create NAME` creates another.")
            say("Stop with Ctrl-C or `rlsd down`.")
            _watch(children, logs=home / "logs", stopping=stopping)


def running_application(home: Path) -> Addresses | None:
    """Return the addresses of the application that uses this data folder now, if there is one."""
    try:
        addresses = Addresses(**json.loads((home / "running.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return addresses if holder(home) == addresses.pid else None


def ensure_key(database_url: str, settings: Settings) -> str | None:
    """Create the first admin key, from RLSD_ADMIN_KEY or at random. Returns a random key, to be shown once.

    Raises AppError if RLSD_ADMIN_KEY is too short.
    """
    chosen = settings.admin_key.get_secret_value() if settings.admin_key else None
    with transaction(database_url) as session:
        session.execute(select(func.pg_advisory_xact_lock(FIRST_KEY_LOCK)))
        if count_keys(session):
            return None
        if chosen is not None and len(chosen) < MIN_KEY_CHARACTERS:
            raise AppError(
                f"RLSD_ADMIN_KEY has {len(chosen)} characters and needs at least {MIN_KEY_CHARACTERS}: "
                "generate one with `openssl rand -hex 32`."
            )
        _, secret = create_key(session, name="admin", secret=chosen)
    return secret if chosen is None else None


def require_free_port(host: str, port: int, *, name: str, option: str) -> None:
    """Raise AppError if the port cannot be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AppError(
                f"Port {port} for the {name} cannot be used ({error.strerror}): choose another with {option}."
            ) from None


def _children(
    services: Services, addresses: Addresses, *, models: Path, host: str, ports: tuple[int, int | None]
) -> list[Child]:
    """Define the child processes. The UI does not get the URLs of database and broker: it uses only the API."""
    api_port, ui_port = ports
    ours = {"RLSD_ADMIN_KEY", "DATABASE_URL", "BROKER_URL"}
    outside = {name: value for name, value in os.environ.items() if name not in ours}
    outside |= {"RLSD_API_URL": addresses.api_url, "PYTHONUNBUFFERED": "1"}
    inside = outside | {
        "DATABASE_URL": services.database_url,
        "BROKER_URL": services.broker_url,
        "RLSD_MODELS_FOLDER": str(models),
    }
    children = [
        Child("api", ["backend.cli.main", "api", "--host", host, "--port", str(api_port)], inside),
        Child("worker-train", ["backend.cli.main", "worker", "--queue", "train"], inside),
        Child("worker-check", ["backend.cli.main", "worker", "--queue", "check"], inside),
        Child("worker-sample", ["backend.cli.main", "worker", "--queue", "sample"], inside),
        Child("worker-chat", ["backend.cli.main", "worker", "--queue", "chat"], inside),
    ]
    if ui_port is not None:
        children.append(Child("ui", ["backend.cli.main", "ui", "--host", host, "--port", str(ui_port)], outside))
    return children


@contextmanager
def _running(children: list[Child], *, logs: Path) -> Iterator[None]:
    """Start all children; at the end of the block stop them together, the last started first."""
    logs.mkdir(mode=0o700, exist_ok=True)
    try:
        for child in children:
            _start(child, logs=logs)
        yield
    finally:
        for child in reversed(children):
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        for child in reversed(children):
            if child.process is not None:
                stop(child.process, grace_s=STOP_GRACE_S)


def _start(child: Child, *, logs: Path) -> None:
    with (logs / f"{child.name}.log").open("ab") as log:
        child.process = start_module(
            child.arguments, environment=child.environment, output=log, parent_death=signal.SIGTERM, cwd=REPOSITORY
        )
    child.starts.append(time.monotonic())


def _watch(children: list[Child], *, logs: Path, stopping: Callable[[], bool]) -> None:
    while not stopping():
        for child in children:
            _restart_if_ended(child, logs=logs)
        time.sleep(POLL_S)


def _restart_if_ended(child: Child, *, logs: Path) -> None:
    """Restart the child if it has ended. Raises AppError if it ends too often."""
    assert child.process is not None
    if child.process.poll() is None:
        return
    stop(child.process, grace_s=STOP_GRACE_S)
    recent = [start for start in child.starts if time.monotonic() - start < RESTART_WINDOW_S]
    if len(recent) >= RESTART_LIMIT:
        raise AppError(
            f"The {child.name} process keeps exiting (exit code {child.process.returncode}); the last lines of "
            f"{logs / child.name}.log:\n{_last_lines(logs / f'{child.name}.log')}"
        )
    _start(child, logs=logs)


def _wait_until_ready(addresses: Addresses, children: list[Child], *, logs: Path, stopping: Callable[[], bool]) -> None:
    urls = [f"{addresses.api_url}/readyz"] + ([f"{addresses.ui_url}/_stcore/health"] if addresses.ui_url else [])
    deadline = time.monotonic() + READY_TIMEOUT_S
    for url in urls:
        while not stopping() and not _is_ready(url):
            for child in children:
                if child.process is not None and child.process.poll() is not None:
                    raise AppError(
                        f"The {child.name} process did not start (exit code {child.process.returncode}):\n"
                        + _last_lines(logs / f"{child.name}.log")
                    )
            if time.monotonic() > deadline:
                raise AppError(f"{url} did not respond within {READY_TIMEOUT_S:.0f} s: see the logs in {logs}.")
            time.sleep(POLL_S)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@contextmanager
def _published(home: Path, addresses: Addresses) -> Iterator[None]:
    path = home / "running.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(addresses)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _last_lines(path: Path, *, count: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])
