"""Adapters, opened in turn; a new one is one more name here."""

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from tests.memory_storage import MemoryStorage
from tests.services.s3 import S3Server
from tests.simulation.metadata import ShortWay, SimulatedMetadata, Tables
from tests.stacks import apart, migrated
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.adapters.migration import migrate
from tusfm.adapters.s3_requests import Patience
from tusfm.adapters.storage_local import LocalStorage
from tusfm.adapters.storage_s3 import S3Place, S3Storage
from tusfm.domain.upload import new_id
from tusfm.ports.storage import AppendingStorage, MultipartStorage, Storage

MULTIPART = ["memory", "minio", "versitygw"]
BUCKET = "tusfm-contract"
SIMULATED = "simulated"
FILLED_BY_MIGRATIONS = {"deployment", "tusfm_alembic"}


def file_key() -> str:
    """Name a new object."""
    return f"files/{new_id()}/1"


async def content(storage: Storage, key: str, start: int, length: int) -> bytes:
    """Read a stretch."""
    return b"".join([piece async for piece in storage.read(key, start, length)])


@asynccontextmanager
async def in_bucket(server: S3Server, patience: Patience = Patience(), **place: str) -> AsyncIterator[S3Storage]:  # noqa: B008
    """Open a bucket, with keys of the test's own."""
    storage = S3Storage(
        replace(server.address, patience=patience), S3Place(bucket=BUCKET, prefix=f"{secrets.token_hex(8)}/", **place)
    )
    await storage.start()
    try:
        yield storage
        await storage.delete([key async for key in storage.keys("")])
    finally:
        await storage.close()


@asynccontextmanager
async def opened(name: str, request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Any]:
    """Open an adapter by its name."""
    if name == "local":
        local = LocalStorage(folder / "store")
        await local.start()
        yield local
        await local.close()
    elif name == "memory":
        yield MemoryStorage()
    else:
        async with in_bucket(request.getfixturevalue(f"{name}_server")) as storage:
            yield storage


@pytest.fixture(params=["local", *MULTIPART])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """Open each adapter."""
    async with opened(request.param, request, tmp_path) as one:
        yield one


@pytest.fixture(params=["local"])
async def appending(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AppendingStorage]:
    """Open each adapter that appends."""
    async with opened(request.param, request, tmp_path) as one:
        yield one


@pytest.fixture(params=MULTIPART)
async def multipart(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MultipartStorage]:
    """Open each adapter that has multipart uploads."""
    async with opened(request.param, request, tmp_path) as one:
        yield one


@pytest.fixture(scope="session")
def migrated_mysql(mysql_server: URL) -> Iterator[URL]:
    """Make our tables once: MySQL takes longer over that than over all of a test."""
    with migrated(mysql_server) as one:
        yield one


@pytest.fixture
def empty_mysql(migrated_mysql: URL) -> str:
    """Give our tables without a row of an earlier test."""

    async def empty() -> None:
        engine = create_async_engine(migrated_mysql)
        async with engine.begin() as connection:
            tables = await connection.run_sync(lambda one: inspect(one).get_table_names())
            for table in set(tables) - FILLED_BY_MIGRATIONS:
                await connection.execute(text(f"DELETE FROM {table}"))
        await engine.dispose()

    apart(empty)
    return migrated_mysql.render_as_string(hide_password=False)


@pytest.fixture
def migrated_sqlite(tmp_path: Path) -> str:
    """Make a database in the test's own directory."""
    address = f"sqlite:///{tmp_path / 'tusfm.sqlite3'}"
    migrate(address)
    return address


@pytest.fixture(params=["migrated_sqlite", "empty_mysql", SIMULATED], ids=["sqlite", "mysql", SIMULATED])
def url(request: pytest.FixtureRequest) -> str:
    """Give an empty database on each server in turn; the simulation's is made in memory."""
    return SIMULATED if request.param == SIMULATED else str(request.getfixturevalue(request.param))


@pytest.fixture
def tables() -> Tables:
    """Make the simulation's database, by the machine's clock."""
    return Tables(time.time)


@pytest.fixture
async def metadata(url: str, tables: Tables) -> AsyncIterator[SqlMetadata]:
    """Open it, as one process."""
    async for one in opened_database(url, "one", tables):
        yield one


@pytest.fixture
async def other(url: str, tables: Tables) -> AsyncIterator[SqlMetadata]:
    """Open it, as another process."""
    async for one in opened_database(url, "two", tables):
        yield one


async def opened_database(url: str, process: str, tables: Tables | None = None) -> AsyncIterator[SqlMetadata]:
    """Open a database, as one process."""
    if url == SIMULATED and tables is not None:
        yield SimulatedMetadata(tables, ShortWay(tables), process)
        return
    one = SqlMetadata(url, process)
    await one.start()
    yield one
    await one.close()
