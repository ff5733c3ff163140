"""The product's own SQL metadata on SQLite in memory, by virtual time: no thread, and no driver but Python's.

So the guards that are tried are the product's own statements, and so is the code that repeats a transaction whose answer was
lost (that of MySQL's adapter). Each transaction takes effect in one moment; the way to it and back is the weather's.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self

from sqlalchemy.exc import IntegrityError

from tests.simulation.scale import STATEMENTS
from tusfm.adapters.databases import SQLITE, Mysql
from tusfm.adapters.metadata_session import Session
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.adapters.migration import migrate


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


class Rows:
    """The rows of a statement, with the methods of SQLAlchemy's results that the product uses."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        """Take what the driver gives."""
        self._cursor = cursor
        self.rowcount = cursor.rowcount

    def __iter__(self) -> Iterator[Any]:
        """Go through the rows."""
        return iter(self._cursor)

    def first(self) -> Any:
        """Return the first row, or None."""
        return self._cursor.fetchone()

    one = first

    def scalar(self) -> Any:
        """Return the first value, or None."""
        row = self._cursor.fetchone()
        return None if row is None else row[0]

    scalar_one = scalar


class Tables:
    """The database itself; every process has its way to it. Stands in for SQLAlchemy's connection, too."""

    def __init__(self, now: Callable[[], float], rewritten: Mapping[str, str] | None = None) -> None:
        """Take the clock in seconds since 1970, and stretches of SQL that are to be others (guards that are taken out)."""
        self.raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.raw.deserialize(_template())
        self.raw.create_function("now_ms", 0, lambda: int(now() * 1000))
        self.rewritten = dict(rewritten or {})
        self.touched: set[str] = set()
        self.sql = cache(self._sql)

    def _sql(self, statement: str) -> str:
        for old, new in {**STATEMENTS, **self.rewritten}.items():
            statement = statement.replace(old, new)
        return statement.replace("{now}", "now_ms()").replace("{for_update}", "")

    def execute(self, statement: str, values: Mapping[str, Any]) -> Rows:
        """Run one statement, and remember which uploads a change names."""
        if not statement.startswith("SELECT"):
            self.touched |= {value for name in ("id", "upload_id") if (value := values.get(name)) is not None}
        try:
            return Rows(self.raw.execute(statement, values))
        except sqlite3.IntegrityError as error:
            raise IntegrityError(statement, values, error) from error

    def exec_driver_sql(self, statement: str) -> Rows:
        """Run a statement without values."""
        return Rows(self.raw.execute(statement))


class Way(Protocol):
    """How a process reaches the tables: what SQLAlchemy's engine is to the product."""

    def connect(self) -> Any:
        """Open a connection, as an asynchronous context; it has run_sync and commit."""

    async def dispose(self) -> None:
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
        """Open nothing."""
        self.dialect = Dialect(tables)  # type: ignore[assignment]
        self._engine = way  # type: ignore[assignment]


class SimulatedMetadata(SqlMetadata):
    """Implements ports.metadata.Metadata."""

    def __init__(self, tables: Tables, way: Way, process: str) -> None:
        """Take the tables, the way to them, and this process's name."""
        Session.__init__(self, Reached(tables, way), process)


class ShortWay:
    """A way on which nothing happens: the adapter alone, for the port's contract."""

    def __init__(self, tables: Tables) -> None:
        """Take the tables."""
        self._tables = tables

    def connect(self) -> "ShortWay":
        """Be the connection as well."""
        return self

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Roll back what was not committed."""
        if self._tables.raw.in_transaction:
            self._tables.raw.execute("ROLLBACK")

    async def run_sync(self, work: Callable[[Any], Any]) -> Any:
        """Run a transaction's statements."""
        self._tables.raw.execute("BEGIN")
        return work(self._tables)

    async def commit(self) -> None:
        """Let them take effect."""
        self._tables.raw.execute("COMMIT")

    async def dispose(self) -> None:
        """Do nothing."""
