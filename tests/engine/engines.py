"""Engines on pairs of adapters, several on one database and storage, as several processes would be."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.memory_storage import MemoryStorage
from tests.stacks import mysql_settings
from tusfm import wiring
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.settings import load
from tusfm.wiring import Engine


@contextlib.contextmanager
def migrated(folder: Path, mysql: str | None = None) -> Iterator[dict[str, str]]:
    """Make a database (in the folder, or at an empty one's address), and the settings that name it."""
    environ = {"TUSFM_DATA_DIR": str(folder), "TUSFM_MEMORY_BUDGET": str(16 * 1024 * 1024)}
    if mysql is not None:
        environ |= mysql_settings(make_url(mysql))
    with ThreadPoolExecutor(1) as apart:  # a test's own loop may be running
        apart.submit(wiring.migrate, load(environ)).result()
    yield environ


@contextlib.asynccontextmanager
async def running(environ: dict[str, str], storage: MemoryStorage | None = None) -> AsyncIterator[Engine]:
    """Run an engine, as one process would: on its directory, or on a multipart storage that several may share."""
    settings = load(environ)
    if storage is None:
        engine = wiring.build(settings)
    else:
        process = secrets.token_hex(8)
        metadata = SqlMetadata(wiring.database_url(settings), process)
        engine = wiring.assemble(settings, process, metadata, storage)
    async with engine.running():
        yield engine
