"""Engines on pairs of adapters, several on one database and storage, as several processes would be."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.memory_storage import MemoryStorage
from tusfm import wiring
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.settings import load
from tusfm.wiring import Engine


@contextlib.contextmanager
def migrated(folder: Path) -> Iterator[dict[str, str]]:
    """Make a database, and the settings that name it."""
    environ = {"TUSFM_DATA_DIR": str(folder), "TUSFM_MEMORY_BUDGET": str(16 * 1024 * 1024)}
    wiring.migrate(load(environ))
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
