"""Adapters, opened in turn; a new one is one more name here."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.memory_storage import MemoryStorage
from tests.services.s3 import S3Server
from tests.simulation.metadata import ShortWay, SimulatedMetadata, Tables
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


@pytest.fixture(params=["sqlite", "mysql", SIMULATED])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Make a migrated database on each server in turn; the simulation's is made in memory."""
    if request.param == SIMULATED:
        return SIMULATED
    address = f"sqlite:///{tmp_path / 'tusfm.sqlite3'}" if request.param == "sqlite" else request.getfixturevalue("mysql_url")
    migrate(address)
    return str(address)


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
