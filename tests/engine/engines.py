"""Engines on pairs of adapters, several on one database and storage, as several processes would be."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tusfm import wiring
from tusfm.settings import load
from tusfm.wiring import Engine


@contextlib.contextmanager
def migrated(folder: Path) -> Iterator[dict[str, str]]:
    """Make a database, and the settings that name it."""
    environ = {"TUSFM_DATA_DIR": str(folder), "TUSFM_MEMORY_BUDGET": str(16 * 1024 * 1024)}
    wiring.migrate(load(environ))
    yield environ


@contextlib.asynccontextmanager
async def running(environ: dict[str, str], **more: str) -> AsyncIterator[Engine]:
    """Run an engine, as one process would."""
    engine = wiring.build(load({**environ, **more}))
    async with engine.running():
        yield engine
