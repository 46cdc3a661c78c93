import pytest

from worker.sandbox.environment import install


@pytest.fixture(scope="session", autouse=True)
def libraries() -> None:
    """Those of verifiers, as `make` installs them."""
    install()
