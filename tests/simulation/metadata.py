"""The product's own SQL metadata on SQLite in memory, by virtual time: no thread, and no driver but Python's.

So the guards that are tried are the product's own statements, and so is the code that repeats a transaction whose answer was
lost (that of MySQL's adapter). Each transaction takes effect in one moment; the way to it and back is the weather's.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from sqlalchemy.exc import IntegrityError

from tests.simulation.scale import STATEMENTS, replaced
from tusfm.adapters.database_mysql import Mysql
from tusfm.adapters.databases import SQLITE, Rows, Seen, Work
from tusfm.adapters.metadata_accounts import AccountsSql
from tusfm.adapters.metadata_sql import NO_QUOTAS, SqlMetadata
from tusfm.adapters.migration import migrate

T = TypeVar("T")
CONNECTIONS = 10  # of a process, as TUSFM_MYSQL_POOL has it


@cache
def _template() -> bytes:
    """Return an empty database, migrated as the product does it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.sqlite3"
        migrate(f"sqlite:///{path}")
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("UPDATE deployment SET name = 'simulation'")
        connection.commit()
        connection.close()
        return path.read_bytes()


class Tables:
    """The database itself; every process has its way to it. Stands in for a connection, too."""

    def __init__(self, now: Callable[[], float], rewritten: Mapping[str, str] | None = None) -> None:
        """Take the clock in seconds since 1970, and stretches of SQL that are to be others (guards that are taken out)."""
        self.raw = sqlite3.connect(":memory:", check_same_thread=False, cached_statements=500)
        self.raw.deserialize(_template())
        self.raw.create_function("now_ms", 0, lambda: int(now() * 1000))
        self.rewritten = dict(rewritten or {})
        self.touched: set[str] = set()
        self.sql = cache(self._sql)

    def _sql(self, statement: str) -> str:
        for old, new in {**self.rewritten, **STATEMENTS}.items():
            statement = statement.replace(old, new)
        return statement.replace("{now}", "now_ms()").replace("{for_update}", "")

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> Rows:
        """Run one statement, and remember which uploads a change names."""
        values = values or {}
        if not statement.startswith("SELECT"):
            self.touched |= {value for name in ("id", "upload_id") if (value := values.get(name)) is not None}
        try:
            cursor = self.raw.execute(statement, values)
            return Rows(cursor.rowcount, cursor.fetchall())
        except sqlite3.IntegrityError as error:
            raise IntegrityError(statement, values, error) from error

    def post(self, statement: str, values: Mapping[str, Any]) -> None:
        """Run one statement that is asked nothing."""
        self.execute(statement, values)


class Way(Protocol):
    """How a process reaches the tables: what its connections are to the product."""

    def one(self) -> Any:
        """Lend a connection, as a context; it has the tables' methods, and commit."""

    async def close(self) -> None:
        """Close."""


class Dialect:
    """SQLite's words and the tables' clock; statements stay text, for Python's driver has named values, too."""

    now, for_update = SQLITE.now, SQLITE.for_update

    def __init__(self, tables: Tables) -> None:
        """Take the tables, which may have guards taken out."""
        self.sql = tables.sql


class Reached(Mysql):
    """Runs transactions over a way, with the product's own repetitions."""

    def __init__(self, tables: Tables, way: Way) -> None:
        """Open nothing; in the place of both kinds of connections is the way."""
        with replaced({"tusfm.adapters.database_mysql:Connections": lambda *_, **__: way}):
            super().__init__("", CONNECTIONS)
        self.dialect = Dialect(tables)  # type: ignore[assignment]

    async def write(self, work: Work[T], seen: Seen | None = None) -> T:
        """Run a transaction; its connection knows what it does, for it may arrive again, and late."""

        def noted(connection: Any) -> T:
            connection.work = work
            return work(connection)

        return await super().write(noted, seen)


class SimulatedMetadata(SqlMetadata):
    """Implements ports.metadata.Metadata."""

    def __init__(self, tables: Tables, way: Way, process: str) -> None:
        """Take the tables, the way to them, and this process's name."""
        AccountsSql.__init__(self, Reached(tables, way), process, NO_QUOTAS)


class Direct:
    """A connection to the tables on which nothing happens."""

    work: Callable[[Any], Any]
    doubtful = True  # whatever ends a commit badly

    def __init__(self, tables: Tables) -> None:
        """Take the tables."""
        self._tables = tables
        self.execute, self.post = tables.execute, tables.post

    def __enter__(self) -> Self:
        """Let the first change begin a transaction."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Roll back what was not committed."""
        self._tables.raw.rollback()

    def commit(self) -> None:
        """Let it take effect."""
        self._tables.raw.commit()


class ShortWay:
    """The way of the adapter alone, for the port's contract."""

    def __init__(self, tables: Tables) -> None:
        """Take the tables."""
        self._tables = tables

    def one(self) -> Direct:
        """Lend a connection."""
        return Direct(self._tables)

    async def close(self) -> None:
        """Do nothing."""
