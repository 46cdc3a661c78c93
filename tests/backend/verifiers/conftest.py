import pytest

from worker.sandbox.environment import install


@pytest.fixture(scope="session", autouse=True)
def libraries() -> None:
    """Install the verifier libraries, as `make` does."""
    install()
