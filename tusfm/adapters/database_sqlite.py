"""SQLite behind the face of `databases`: each transaction runs whole in a thread, and those that wait share a commit."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from tusfm.adapters.database_errors import NOT_THERE, unavailable, words
from tusfm.adapters.databases import SQLITE, Connection, Seen, Work
from tusfm.adapters.sqlite_connection import SqliteConnection
from tusfm.domain.errors import MetadataUnavailable, OutcomeUnknown

T = TypeVar("T")

BUSY_SECONDS = 10  # a backup, or a migration, may hold SQLite's lock for a while
SLIGHT_SECONDS = 1  # of it, spent in the queue, are not worth a statement
READERS = 2
TOGETHER = 32  # transactions with one commit: so many hold SQLite's lock for some milliseconds

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Write:
    """A transaction that waits for the writing connection until *end*, and what became of it."""

    work: Work[Any]
    seen: Seen | None
    end: float
    told: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Let whoever waits know, in the loop's thread."""
        if self.told.done():
            return
        if self.error is None:
            self.told.set_result(self.result)
        else:
            self.told.set_exception(self.error)


class Sqlite:
    """SQLite in a file: one writing connection a process, in a thread of its own, and readers apart.

    With several writing connections SQLite's busy handler makes some wait very long; with one, they queue here, and what
    queues meanwhile is committed, and synced, together. When one of several fails, each is run again by itself.
    """

    dialect = SQLITE

    def __init__(self, url: str) -> None:
        """Open nothing yet."""
        self._path = Path(make_url(url).database or "")
        self._writing = ThreadPoolExecutor(1, "sqlite-write")
        self._reading = ThreadPoolExecutor(READERS, "sqlite-read")
        self._open: dict[int, SqliteConnection] = {}  # by thread
        self._queue: deque[_Write] = deque()
        self._call: Future[None] | None = None  # the newest, to the writing thread

    async def start(self) -> None:
        """Do nothing: connections are opened by their first use."""

    async def close(self) -> None:
        """Let work in hand end, and close the connections."""
        for threads in (self._writing, self._reading):
            await asyncio.get_running_loop().run_in_executor(None, threads.shutdown)
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    async def read(self, work: Work[T]) -> T:
        """Run a reading function; one statement needs no transaction."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, work)

    async def write(self, work: Work[T], seen: Seen | None = None) -> T:
        """Run a transaction; a SQLite that reports an error on COMMIT may have done it all the same."""
        loop = asyncio.get_running_loop()
        waiting = _Write(work, seen, time.monotonic() + BUSY_SECONDS, loop.create_future())
        self._queue.append(waiting)
        if self._call is None or self._call.running() or self._call.done():  # else it has not looked at the queue yet
            self._call = self._writing.submit(self._write_waiting, loop)
        result: T = await waiting.told
        return result

    def _connection(self) -> SqliteConnection:
        """Return this thread's connection."""
        place = threading.get_ident()
        connection = self._open.get(place)
        if connection is None:
            if not self._path.exists():
                raise MetadataUnavailable(NOT_THERE)
            connection = self._open[place] = SqliteConnection(self._path, BUSY_SECONDS)
        return connection

    def _read(self, work: Work[T]) -> T:
        try:
            return work(self._connection())
        except SQLAlchemyError as error:
            raise unavailable(error) from error

    def _begin(self, end: float) -> Connection:
        """Begin to write; those that queue share their time for a lock that somebody holds, and do not add it up."""
        connection = self._connection()
        waited = end - time.monotonic() < BUSY_SECONDS - SLIGHT_SECONDS
        if waited:
            left = max(0, int((end - time.monotonic()) * 1000))
            connection.execute(f"PRAGMA busy_timeout = {left}")
        try:
            connection.execute("BEGIN IMMEDIATE")
        finally:
            if waited:
                connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        return connection

    def _write_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write until nothing is left; who queues from now on calls this again, and may find that it was done."""
        while self._queue:
            queued = [self._queue.popleft() for _ in range(min(TOGETHER, len(self._queue)))]
            group = [one for one in queued if not one.told.cancelled()]
            if group:
                self._write(group, loop)

    def _write(self, group: Sequence[_Write], loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._transact(group)
        except BaseException as error:  # noqa: BLE001  whoever waits is told
            if len(group) > 1:
                for one in group:
                    self._write([one], loop)
                return
            group[0].error = error
        loop.call_soon_threadsafe(_tell, group)

    def _transact(self, group: Sequence[_Write]) -> None:
        """Run these in one transaction; nothing of it counts when anything is raised."""
        try:
            connection = self._begin(min(one.end for one in group))
        except SQLAlchemyError as error:
            raise unavailable(error) from error
        try:
            for one in group:
                one.result = one.work(connection)
        except IntegrityError:
            _roll_back(connection)
            raise
        except SQLAlchemyError as error:
            _roll_back(connection)
            raise unavailable(error) from error
        except BaseException:
            _roll_back(connection)
            raise
        self._commit(connection, group)

    def _commit(self, connection: Connection, group: Sequence[_Write]) -> None:
        try:
            connection.execute("COMMIT")
        except SQLAlchemyError as error:
            _roll_back(connection)
            for one in group:
                one.error = _doubt(connection, one.seen, error)


def _doubt(connection: Connection, seen: Seen | None, error: SQLAlchemyError) -> Exception | None:
    """Say what a transaction's error is after its COMMIT failed: none if it had been done."""
    try:
        done = seen is not None and seen(connection)
    except SQLAlchemyError as again:
        return OutcomeUnknown(words(again))
    return None if done else unavailable(error)


def _tell(group: Sequence[_Write]) -> None:
    for one in group:
        one.tell()


def _roll_back(connection: Connection) -> None:
    try:
        connection.execute("ROLLBACK")
    except SQLAlchemyError:
        log.debug("SQLite had rolled back by itself")
