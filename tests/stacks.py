"""Where a deployment of tests keeps its rows and bytes, on either stack."""

import asyncio
import contextlib
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from tests.services.s3 import S3Server
from tusfm import wiring
from tusfm.adapters.storage_s3 import S3Place, S3Storage
from tusfm.settings import load

T = TypeVar("T")
MARKERS = "work/marker/"


class Stack(Protocol):
    """What a deployment stands on."""

    settings: dict[str, str]

    def rows(self) -> int:
        """Count the uploads in the database."""

    def objects(self) -> dict[str, int]:
        """List what lies in storage, but for markers, with sizes."""

    def execute(self, statement: str) -> None:
        """Change the database behind the servers' back."""


def sweep(stack: Stack) -> None:
    """Sweep once, as `tusfm sweep` does: after DELETE it looks for what a late writer left."""

    async def run() -> None:
        async with wiring.opened(load(stack.settings)) as engine:
            await engine.sweep.sweep()

    apart(run)


class EmbeddedStack:
    """SQLite and a directory; the first server that starts migrates."""

    def __init__(self, data: Path) -> None:
        """Take the data directory."""
        self.data = data
        self.settings = {"TUSFM_DATA_DIR": str(data)}

    def rows(self) -> int:
        """Count rows."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data / 'tusfm.sqlite3'}?mode=ro", uri=True)) as direct:
            return int(direct.execute("SELECT COUNT(*) FROM uploads").fetchone()[0])

    def execute(self, statement: str) -> None:
        """Run a statement."""
        with contextlib.closing(sqlite3.connect(self.data / "tusfm.sqlite3")) as direct, direct:
            direct.execute(statement)

    def objects(self) -> dict[str, int]:
        """List files."""
        found = [path for top in ("work", "files") for path in (self.data / top).rglob("*") if path.is_file()]
        return {str(path): path.stat().st_size for path in found if not path.name.startswith("marker.")}


class ProductionStack:
    """MySQL and S3, each with a place of this deployment's own."""

    def __init__(self, mysql: URL, s3: S3Server, bucket: str) -> None:
        """Take a migrated database, and a bucket that others may use too."""
        self._mysql = mysql
        self._s3 = s3
        self._place = S3Place(bucket=bucket, prefix=f"{secrets.token_hex(8)}/")
        self.settings = {**mysql_settings(mysql), **s3.settings(bucket), "TUSFM_S3_PREFIX": self._place.prefix}

    def rows(self) -> int:
        """Count rows."""
        return self.value("SELECT COUNT(*) FROM uploads")

    def value(self, statement: str) -> int:
        """Read a number."""
        return int(str(apart(lambda: execute(self._mysql, statement))))

    def execute(self, statement: str) -> None:
        """Run a statement."""
        apart(lambda: execute(self._mysql, statement))

    def objects(self) -> dict[str, int]:
        """List objects."""

        async def run() -> dict[str, int]:
            storage = S3Storage(self._s3.address, self._place)
            await storage.start()
            try:
                keys = [key async for key in storage.keys("")]
                return {key: await storage.size(key) or 0 for key in keys if not key.startswith(MARKERS)}
            finally:
                await storage.close()

        return apart(run)


@contextlib.contextmanager
def database(server: URL) -> Iterator[URL]:
    """Make a database on a server, and drop it."""
    name = f"test_{secrets.token_hex(8)}"
    apart(lambda: execute(server, f"CREATE DATABASE {name}"))
    try:
        yield server.set(database=name)
    finally:
        apart(lambda: execute(server, f"DROP DATABASE {name}"))


@contextlib.contextmanager
def migrated(server: URL) -> Iterator[URL]:
    """Make a database with our tables."""
    with database(server) as url, ThreadPoolExecutor(1) as thread:
        thread.submit(wiring.migrate, load(mysql_settings(url))).result()
        yield url


def mysql_settings(url: URL) -> dict[str, str]:
    """Return an environment that names a database."""
    named = {"MYSQL_HOST": url.host, "MYSQL_PORT": url.port, "MYSQL_DATABASE": url.database, "MYSQL_USER": url.username}
    return {**{name: str(value) for name, value in named.items()}, "MYSQL_ROOT_PASSWORD": str(url.password or "")}


async def execute(url: URL, statement: str) -> object:
    """Run one statement, and return the first value that it gives, if it gives any."""
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            result = await connection.execute(text(statement))
            value: object = result.scalar() if result.returns_rows else None
            return value
    finally:
        await engine.dispose()


def apart(work: Callable[[], Awaitable[T]]) -> T:
    """Run something asynchronous in a thread of its own: a test's loop may be running."""

    async def run() -> T:
        return await work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()
