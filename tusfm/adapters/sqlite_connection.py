"""A connection of sqlite3's as transactions use one: SQLAlchemy's between them costs as much as SQLite does."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError, IntegrityError

from tusfm.adapters.databases import Rows


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

    def execute(self, statement: str, values: Mapping[str, Any] | None = None, /) -> Rows:
        """Execute a statement. SQLAlchemyError."""
        try:
            cursor = self._driver.execute(statement, values or ())
            return Rows(cursor.rowcount, cursor.fetchall())
        except sqlite3.Error as error:
            raise _wrapped(error) from error

    def post(self, statement: str, values: Mapping[str, Any], /) -> None:
        """Execute it at once: no network is between. SQLAlchemyError."""
        self.execute(statement, values)

    def close(self) -> None:
        """Close it."""
        self._driver.close()


def _wrapped(error: sqlite3.Error) -> DBAPIError:
    kind = IntegrityError if isinstance(error, sqlite3.IntegrityError) else DBAPIError
    return kind(None, None, error)
