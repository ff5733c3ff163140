"""A connection of sqlite3's as transactions use one: SQLAlchemy's between them costs as much as SQLite does."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError, IntegrityError, NoResultFound

Row = Sequence[Any]


class SqliteRows:
    """What a statement brought; all of it was read, so that the driver's errors end where it was executed."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        """Read all rows. *rowcount* is that of rows that were changed."""
        self.rowcount = cursor.rowcount
        self._rows: list[Row] = cursor.fetchall()

    def __iter__(self) -> Iterator[Row]:
        """Return row after row."""
        return iter(self._rows)

    def all(self) -> Sequence[Row]:
        """Return all rows."""
        return self._rows

    def first(self) -> Row | None:
        """Return the first row, if there is one."""
        return self._rows[0] if self._rows else None

    def one(self) -> Row:
        """Return the only row. NoResultFound."""
        row = self.first()
        if row is None:
            raise NoResultFound("no row was found")
        return row

    def scalar(self) -> Any:  # noqa: ANN401  a column's own
        """Return the first row's first column, if there is a row."""
        row = self.first()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:  # noqa: ANN401  a column's own
        """Return the only row's first column. NoResultFound."""
        return self.one()[0]


class SqliteConnection:
    """One connection, which commits by itself what no transaction was begun for. Errors are SQLAlchemy's, as for MySQL."""

    def __init__(self, path: Path, timeout: float) -> None:
        """Open the file, to wait so many seconds where another holds its lock. SQLAlchemyError."""
        try:
            self._driver = sqlite3.connect(path, timeout, isolation_level=None, check_same_thread=False)
            # That there is a write-ahead log stands in the file, since its migration.
            for pragma in ("synchronous=FULL", "foreign_keys=OFF", "wal_autocheckpoint=2000"):
                self._driver.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise _wrapped(error) from error

    def exec_driver_sql(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> SqliteRows:
        """Execute a statement. SQLAlchemyError."""
        try:
            return SqliteRows(self._driver.execute(statement, values))
        except sqlite3.Error as error:
            raise _wrapped(error) from error

    def close(self) -> None:
        """Close it."""
        self._driver.close()


def _wrapped(error: sqlite3.Error) -> DBAPIError:
    kind = IntegrityError if isinstance(error, sqlite3.IntegrityError) else DBAPIError
    return kind(None, None, error)
