"""The statements that SQLite executes in this process, as they come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tusfm.adapters.databases import Rows
from tusfm.adapters.sqlite_connection import SqliteConnection


def nothing(_: str) -> None:
    """Do nothing."""


@contextmanager
def overheard(before: Callable[[str], object] = nothing, after: Callable[[str], object] = nothing) -> Iterator[None]:
    """Tell of each, in the thread that executes it; what these raise is raised there."""
    execute = SqliteConnection.execute

    def told(connection: SqliteConnection, statement: str, *values: Any) -> Rows:
        before(statement)
        rows = execute(connection, statement, *values)
        after(statement)
        return rows

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SqliteConnection, "execute", told)
        yield
