"""Bringing a database's schema to the revision that this code needs."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import migrations
from tusfm.adapters.database_errors import NOT_MIGRATED, words
from tusfm.adapters.metadata_sql import HEAD_REVISION
from tusfm.domain.errors import MetadataUnavailable

LOCK = "LEFT(CONCAT('tusfm migrate ', DATABASE()), 64)"  # names of locks are the server's, not the database's
WAIT_SECONDS = 30
PAUSE_SECONDS = 0.05


Told: TypeAlias = Callable[[int], None]


def migrate(url: str, told: Told = lambda _: None) -> str:
    """Run the steps that are missing, and say in a sentence what was done. MetadataUnavailable.

    *told* hears how many files of the old service's database were taken over so far.

    Of two that start at once, one waits for the other and then finds nothing to do; after 30 seconds it gives up.
    """
    try:
        if make_url(url).get_backend_name() == "sqlite":
            return _migrate_sqlite(url, told)
        return asyncio.run(_migrate_mysql(url, told))
    except (SQLAlchemyError, OSError) as error:
        said = words(error)
        msg = f"the database cannot be migrated: {getattr(error, 'orig', None) if said == NOT_MIGRATED else said}"
        raise MetadataUnavailable(msg) from error


def _migrate_sqlite(url: str, told: Told) -> str:
    engine = create_engine(
        url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": WAIT_SECONDS},
    )
    with engine.connect() as connection:
        _write_ahead(connection)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            said = _upgrade(connection, told)
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")
        return said


def _write_ahead(connection: Connection) -> None:
    """Switch to WAL; for the lock that this takes SQLite does not wait, whatever its timeout."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except OperationalError:
            if time.monotonic() >= end:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return


async def _migrate_mysql(url: str, told: Told) -> str:
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_locked, told)
    finally:
        await engine.dispose()


def _locked(connection: Connection, told: Told) -> str:
    if connection.exec_driver_sql(f"SELECT GET_LOCK({LOCK}, {WAIT_SECONDS})").scalar() != 1:
        msg = "another migration of this database is running"
        raise MetadataUnavailable(msg)
    try:
        return _upgrade(connection, told)
    finally:
        connection.exec_driver_sql(f"SELECT RELEASE_LOCK({LOCK})").close()


def _upgrade(connection: Connection, told: Told) -> str:
    context = MigrationContext.configure(connection, opts={"version_table": "tusfm_alembic"})
    before = context.get_current_revision()
    if before == HEAD_REVISION:
        return f"The database is at revision {HEAD_REVISION} already."
    if before is not None and before > HEAD_REVISION:
        return f"The database is at revision {before}, which is newer than this version's {HEAD_REVISION}; nothing was done."
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes.update(connection=connection, told=told)
    command.upgrade(config, "head")
    return f"The database was brought from {before or 'nothing'} to revision {HEAD_REVISION}."
