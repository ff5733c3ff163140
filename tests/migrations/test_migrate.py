"""Migrating: once, by one of many, beside servers that run, and never backwards."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MYSQL
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from tests.stacks import apart, execute
from tusfm.adapters import metadata_accounts, migration
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.adapters.migration import migrate
from tusfm.domain.errors import MetadataUnavailable


@pytest.fixture(params=["sqlite", "mysql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tusfm.sqlite3'}"
    return str(request.getfixturevalue("mysql_url"))


def set_revision(address: str, revision: str) -> None:
    """Write another revision into a database."""
    statement = f"UPDATE tusfm_alembic SET version_num = '{revision}'"
    if address.startswith("sqlite"):
        import sqlite3  # noqa: PLC0415

        with sqlite3.connect(make_url(address).database or "") as direct:
            direct.execute(statement)
    else:
        apart(lambda: execute(make_url(address), statement))


def test_of_many_that_start_at_once_one_migrates(address: str) -> None:
    """Four replicas that migrate in the same moment: one does, the others find it done."""
    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(migrate, [address] * 4))
    assert sum("brought from nothing" in one for one in said) == 1
    assert sum("already" in one for one in said) == 3


def test_a_name_that_mysql_reserves_stands_in_quotes(tmp_path: Path) -> None:
    """Names stand in statements as they are, and MySQL reserves words that MariaDB does not: none but one, in quotes."""
    path = tmp_path / "tusfm.sqlite3"
    migrate(f"sqlite:///{path}")
    found = inspect(create_engine(f"sqlite:///{path}"))
    columns = {column["name"] for table in found.get_table_names() for column in found.get_columns(table)}
    keywords = {"role"}  # that are free to be used
    assert ({*columns, *found.get_table_names()} & RESERVED_WORDS_MYSQL) - keywords == {"stored"}
    statements = (metadata_accounts.ACCOUNTS, metadata_accounts.OPEN, metadata_accounts.CHARGE)
    assert [re.search(r"(?<![`:])stored", one) for one in statements] == [None] * 3


def test_a_newer_schema_is_served_and_left_alone(address: str) -> None:
    """While a new version rolls out, the old one goes on, starts again, and does not migrate back."""
    migrate(address)
    set_revision(address, "9999")

    async def migrated() -> bool:
        metadata = SqlMetadata(address, "old")
        try:
            return await metadata.migrated()
        finally:
            await metadata.close()

    assert asyncio.run(migrated()) is True
    assert "newer than this version's" in migrate(address)


def test_one_that_waits_too_long_is_refused_politely(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another migration holds the lock, the second one says so in a sentence."""
    monkeypatch.setattr(migration, "WAIT_SECONDS", 1)

    async def run() -> None:
        engine = create_async_engine(mysql_url)
        async with engine.connect() as other:
            await other.execute(text(f"SELECT GET_LOCK({migration.LOCK}, 1)"))
            with pytest.raises(MetadataUnavailable, match="another migration of this database is running"):
                await asyncio.to_thread(migrate, mysql_url)
        await engine.dispose()

    asyncio.run(run())


def test_a_migration_that_died_half_way_is_gone_on_with(mysql_url: str) -> None:
    """MySQL commits each CREATE by itself: what a dead migration left does not stop the next one."""
    migrate(mysql_url)
    url = make_url(mysql_url)
    for table in ("tusfm_alembic", "duties", "deployment", "outbox"):
        apart(lambda one=table: execute(url, f"DROP TABLE {one}"))  # type: ignore[misc]
    assert "brought from nothing" in migrate(mysql_url)
    assert "already" in migrate(mysql_url)
