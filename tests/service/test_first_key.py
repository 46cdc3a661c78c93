"""The first key of an installation: exactly one, given or generated, and hard to guess."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from backend.db.engine import transaction
from backend.db.keys import ApiKey
from backend.errors import AppError
from backend.settings import Settings
from backend.stack.embedded import Services
from backend.stack.up import ensure_key
from tests.service.conftest import wait_until_blocked

CHOSEN = "x" * 32


def stored_keys(database_url: str) -> list[ApiKey]:
    with transaction(database_url) as session:
        return list(session.scalars(select(ApiKey)))


@pytest.fixture
def database_url(clean_database: Services) -> str:
    return clean_database.database_url


def test_a_chosen_key_that_could_be_guessed_is_refused(database_url: str) -> None:
    with pytest.raises(AppError, match="RLSD_ADMIN_KEY has 31 characters and needs at least 32"):
        ensure_key(database_url, Settings(RLSD_ADMIN_KEY=CHOSEN[1:]))
    assert stored_keys(database_url) == []


def test_of_a_chosen_key_a_quarter_is_shown_at_most(database_url: str) -> None:
    assert ensure_key(database_url, Settings(RLSD_ADMIN_KEY=CHOSEN)) is None
    assert [len(key.prefix) for key in stored_keys(database_url)] == [8]


def test_two_that_start_at_once_make_one_key(database_url: str) -> None:
    with ThreadPoolExecutor(2) as both:
        with transaction(database_url) as session:
            session.execute(text("LOCK TABLE api_keys IN SHARE MODE"))  # allows reading, blocks writing
            started = [both.submit(ensure_key, database_url, Settings()) for _ in range(2)]
            wait_until_blocked(2)
        results = [each.result() for each in started]
    assert len(stored_keys(database_url)) == 1
    assert results.count(None) == 1
