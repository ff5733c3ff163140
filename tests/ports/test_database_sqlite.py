"""What only SQLite has: transactions that wait for its one writing connection share a commit."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tests.statements import overheard
from tusfm.adapters.database_sqlite import Sqlite
from tusfm.adapters.databases import Connection, Seen
from tusfm.domain.errors import Fenced, MetadataUnavailable

Add = Callable[[Connection], int]
ADD = "INSERT INTO rows VALUES (:n)"


@asynccontextmanager
async def database(folder: Path) -> AsyncIterator[tuple[Sqlite, list[str]]]:
    """Open a database with an empty table, and the list of statements that will have been executed."""
    path = folder / "rows.db"
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE rows (number INTEGER)")
    made.close()
    sqlite, statements = Sqlite(f"sqlite:///{path}"), list[str]()
    with overheard(statements.append):
        yield sqlite, statements
    await sqlite.close()


def adding(number: int) -> Add:
    """Make a transaction that adds a row."""
    return lambda connection: connection.execute(ADD, {"n": number}).rowcount


def refused(connection: Connection) -> int:
    """Add a row, and raise."""
    adding(0)(connection)
    raise Fenced("no")


async def rows(sqlite: Sqlite) -> list[int]:
    """Read what was committed."""
    return await sqlite.read(lambda connection: [row[0] for row in connection.execute("SELECT * FROM rows")])


@asynccontextmanager
async def waiting(sqlite: Sqlite, *works: Add, seen: Seen | None = None) -> AsyncIterator[list[asyncio.Task[int]]]:
    """Have these wait for the writing connection, which another transaction holds until the end of the block."""
    begun, go = threading.Event(), threading.Event()

    def hold(_: Connection) -> bool:
        begun.set()
        return go.wait()

    first = asyncio.create_task(sqlite.write(hold))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    tasks = [asyncio.create_task(sqlite.write(work, seen)) for work in works]
    while len(sqlite._queue) < len(works):
        await asyncio.sleep(0.001)
    try:
        yield tasks
    finally:
        go.set()
        await asyncio.wait([first, *tasks])


async def test_those_that_wait_share_a_commit(tmp_path: Path) -> None:
    """Three transactions that wait are begun and committed once, and each has its own result."""
    async with database(tmp_path) as (sqlite, statements):
        async with waiting(sqlite, adding(1), adding(2), adding(3)) as tasks:
            statements.clear()
        assert [task.result() for task in tasks] == [1, 1, 1]
        assert statements == ["COMMIT", "BEGIN IMMEDIATE", *[ADD] * 3, "COMMIT"]
        assert await rows(sqlite) == [1, 2, 3]


async def test_one_that_fails_takes_no_other_along(tmp_path: Path) -> None:
    """Of three, the one that raises is told so and leaves nothing; the others are committed."""
    async with database(tmp_path) as (sqlite, _):
        async with waiting(sqlite, adding(1), refused, adding(3)) as (before, failed, after):
            pass
        assert (before.result(), type(failed.exception()), after.result()) == (1, Fenced, 1)
        assert await rows(sqlite) == [1, 3]


async def test_one_that_nobody_waits_for_any_more_is_left_out(tmp_path: Path) -> None:
    """A transaction that is cancelled while it waits is not made."""
    async with database(tmp_path) as (sqlite, _):
        async with waiting(sqlite, adding(1), adding(2)) as (gone, stays):
            gone.cancel()
            await asyncio.wait([gone])
        assert stays.result() == 1
        assert await rows(sqlite) == [2]


@pytest.mark.parametrize("done", [False, True])
async def test_a_commit_that_fails_is_told_to_all_that_shared_it(tmp_path: Path, done: bool) -> None:  # noqa: FBT001
    """Each looks whether it had been done; to whom that does not show, it was not."""
    shared: list[str] = []
    failed = threading.Event()

    def fail(statement: str) -> None:
        shared.append(statement)
        if shared[-4:] == ["BEGIN IMMEDIATE", *[ADD] * 2, "COMMIT"]:
            failed.set()
            raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    def seen(connection: Connection) -> bool:
        return bool(connection.execute("SELECT COUNT(*) FROM rows").scalar())

    async with database(tmp_path) as (sqlite, _):
        with overheard(after=fail) if done else overheard(before=fail):
            async with waiting(sqlite, adding(1), adding(2), seen=seen) as tasks:
                pass
        assert failed.is_set()
        assert await rows(sqlite) == ([1, 2] if done else [])
        failures = [None if task.exception() is None else type(task.exception()) for task in tasks]
        assert failures == ([None, None] if done else [MetadataUnavailable] * 2)
