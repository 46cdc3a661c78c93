"""Migration of a database to the newest schema; databases newer than this code are refused."""

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, text

from backend.db.engine import sqlalchemy_url
from backend.errors import AppError
from backend.settings import REPOSITORY

LOCK = 7_215_000
"""Number of the advisory lock under which one process migrates at a time."""


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(database_url: str) -> None:
    """Apply the missing migrations. Safe to run from several processes at once.

    Raises AppError if the database was migrated by a newer version.
    """
    engine = create_engine(sqlalchemy_url(database_url), hide_parameters=True)
    config = alembic_config()
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        newest = ScriptDirectory.from_config(config).get_current_head()
        raise AppError(
            f"The database schema belongs to another version (this one supports up to {newest}): {error}. "
            "Use the version that migrated the database, or restore a backup."
        ) from error
    finally:
        engine.dispose()
