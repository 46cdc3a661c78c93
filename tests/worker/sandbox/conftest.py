from collections.abc import Iterator

import pytest

from worker.sandbox.environment import install
from worker.sandbox.policy import SandboxLimits
from worker.sandbox.pool import Sandbox

FAST = SandboxLimits(row_timeout_s=1.0, batch_timeout_s=20.0, memory_bytes=256 * 2**20, consecutive_timeouts=4)


@pytest.fixture(scope="session", autouse=True)
def libraries() -> None:
    """Install the libraries for verifiers, as `make` does."""
    install()


@pytest.fixture(scope="session")
def sandbox(libraries: None) -> Iterator[Sandbox]:
    """One sandbox for all tests, so that each also shows that earlier ones left nothing behind."""
    with Sandbox(FAST) as shared:
        yield shared


@pytest.fixture(scope="session")
def level(sandbox: Sandbox) -> int:
    return sandbox.confinement.level


@pytest.fixture
def python_allowed(level: int) -> None:
    if level == 0:
        pytest.skip("no seccomp on this machine: Python verifiers are refused")


@pytest.fixture
def landlock(level: int) -> None:
    if level < 2:
        pytest.skip("no Landlock on this machine")
