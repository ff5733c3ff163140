"""The two databases behind one face: how a transaction is run, and each difference between the dialects.

Transactions are plain functions of a connection, written once. SQLite runs them in a thread, so that one costs one hop
whatever the number of its statements; MySQL runs them on asyncmy, with SQLAlchemy's bridge.
"""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, TextClause, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tusfm.domain.errors import Fenced, MetadataUnavailable, OutcomeUnknown

T = TypeVar("T")
Work = Callable[[Connection], T]
Seen = Callable[[Connection], bool]

PATIENCE_SECONDS = 3.0  # how long a passing failure is hidden from the caller
PAUSE_SECONDS = 0.05
BUSY_SECONDS = 10  # a backup, or a migration, may hold SQLite's lock for a while
SLIGHT_SECONDS = 1  # of it, spent in the queue, are not worth a statement
READERS = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What SQL says differently: the clock in ms since 1970, and how rows are locked."""

    now: str
    for_update: str

    def sql(self, statement: str) -> TextClause:
        """Make a statement of a text with {now} and {for_update} in it."""
        return text(statement.replace("{now}", self.now).replace("{for_update}", self.for_update))


SQLITE = Dialect(now="CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)", for_update="")
MYSQL = Dialect(now="CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)", for_update="FOR UPDATE")


class Database(Protocol):
    """Runs transactions. Errors of drivers end here."""

    dialect: Dialect

    async def start(self) -> None:
        """Open what has to be open."""

    async def close(self) -> None:
        """Close everything."""

    async def read(self, work: Work[T]) -> T:
        """Run a reading function. MetadataUnavailable."""

    async def write(self, work: Work[T], seen: Seen | None = None) -> T:
        """Run a transaction; an IntegrityError passes through.

        A sure failure is tried again for a while, then MetadataUnavailable. When the answer to COMMIT was lost it is run
        again; if that finds nothing to do, *seen* tells whether it had been done. OutcomeUnknown if nobody can tell.
        """


def database(url: str, pool_size: int = 10) -> Database:
    """Choose by the address."""
    return Sqlite(url) if make_url(url).get_backend_name() == "sqlite" else Mysql(url, pool_size)


class Sqlite:
    """SQLite in a file: one writing connection a process, in a thread of its own, and readers apart.

    With several writing connections SQLite's busy handler makes some wait very long; with one, they queue here.
    """

    dialect = SQLITE

    def __init__(self, url: str) -> None:
        """Open nothing yet."""
        self._path = Path(make_url(url).database or "")
        self._writing = ThreadPoolExecutor(1, "sqlite-write")
        self._reading = ThreadPoolExecutor(READERS, "sqlite-read")
        self._writer = self._engine()
        self._reader = self._engine()
        self._open: dict[tuple[Engine, int], Connection] = {}

    def _engine(self) -> Engine:
        engine = create_engine(
            f"sqlite:///{self._path}",
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS},
        )
        event.listen(engine, "connect", _pragmas)
        return engine

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
        end = time.monotonic() + BUSY_SECONDS
        return await asyncio.get_running_loop().run_in_executor(self._writing, self._write, work, seen, end)

    def _connection(self, engine: Engine) -> Connection:
        place = (engine, threading.get_ident())
        connection = self._open.get(place)
        if connection is None:
            if not self._path.exists():
                msg = "the database is not there; run 'tusfm migrate'"
                raise MetadataUnavailable(msg)
            connection = self._open[place] = engine.connect()
        return connection

    def _read(self, work: Work[T]) -> T:
        try:
            return work(self._connection(self._reader))
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    def _begin(self, end: float) -> Connection:
        """Begin to write; those that queue share their time for a lock that somebody holds, and do not add it up."""
        connection = self._connection(self._writer)
        waited = end - time.monotonic() < BUSY_SECONDS - SLIGHT_SECONDS
        if waited:
            left = max(0, int((end - time.monotonic()) * 1000))
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {left}")
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        finally:
            if waited:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        return connection

    def _write(self, work: Work[T], seen: Seen | None, end: float) -> T:
        try:
            connection = self._begin(end)
        except SQLAlchemyError as error:
            raise _unavailable(error) from error
        try:
            result = work(connection)
        except IntegrityError:
            _roll_back(connection)
            raise
        except SQLAlchemyError as error:
            _roll_back(connection)
            raise _unavailable(error) from error
        except BaseException:
            _roll_back(connection)
            raise
        self._commit(connection, seen)
        return result

    def _commit(self, connection: Connection, seen: Seen | None) -> None:
        try:
            connection.exec_driver_sql("COMMIT")
        except SQLAlchemyError as error:
            _roll_back(connection)
            try:
                done = seen is not None and seen(connection)
            except SQLAlchemyError as again:
                raise OutcomeUnknown(_words(again)) from again
            if not done:
                raise _unavailable(error) from error


def _pragmas(connection: Any, _: object) -> None:  # noqa: ANN401  a driver's own
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=OFF", "wal_autocheckpoint=2000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _roll_back(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except SQLAlchemyError:
        log.debug("SQLite had rolled back by itself")


class Mysql:
    """MySQL or MariaDB through asyncmy: READ COMMITTED, for nothing here reads twice, and gap locks would only deadlock."""

    dialect = MYSQL

    def __init__(self, url: str, pool_size: int) -> None:
        """Open nothing yet."""
        self._engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_recycle=1800,
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": 3, "init_command": "SET time_zone = '+00:00'"},
        )

    async def start(self) -> None:
        """Do nothing: connections are opened by their first use."""

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()

    async def read(self, work: Work[T]) -> T:
        """Run a reading function, again when the connection turns out to be dead."""
        return await self._persist(work, commit=False, seen=None)

    async def write(self, work: Work[T], seen: Seen | None = None) -> T:
        """Run a transaction, again after a deadlock or a lost connection."""
        return await self._persist(work, commit=True, seen=seen)

    async def _persist(self, work: Work[T], *, commit: bool, seen: Seen | None) -> T:
        """Run work again and again while failures may pass; *commit* says whether it changes anything."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_SECONDS
        attempt = _Attempt()
        while True:
            try:
                async with asyncio.timeout_at(end), self._engine.connect() as connection:
                    return await attempt.run(connection, work, seen, commit=commit)
            except IntegrityError:
                raise
            except (SQLAlchemyError, *BROKEN) as error:
                attempt.failed()
                if loop.time() >= end or not _passing(error):
                    raise (OutcomeUnknown(_words(error)) if attempt.unknown else _unavailable(error)) from error
                log.debug("the database is asked again: %s", _words(error))
                await asyncio.sleep(PAUSE_SECONDS)


class _Attempt:
    """One transaction, sent until its outcome is known."""

    def __init__(self) -> None:
        self.unknown = False
        self._committing = False

    def failed(self) -> None:
        """Remember whether it was the answer to COMMIT that was lost."""
        self.unknown = self.unknown or self._committing
        self._committing = False

    async def run(self, connection: AsyncConnection, work: Work[T], seen: Seen | None, *, commit: bool) -> T:
        """Run the work; one that finds nothing to do may have been done before, by itself.

        If it was not seen to have been done, somebody may have gone on from it since: nobody can tell, and its objects stay.
        """
        try:
            result = await connection.run_sync(work)
        except Fenced as error:
            if not self.unknown:
                raise
            if seen is not None and await connection.run_sync(seen):
                return None  # type: ignore[return-value]  # such transactions return nothing
            raise OutcomeUnknown(UNTOLD) from error
        if commit:
            self._committing = True
            await connection.commit()
            self._committing = False
        return result


UNTOLD = "the database's answer to a commit was lost, and somebody else has changed the upload since"
NOT_MIGRATED = "the database is not migrated; run 'tusfm migrate'"
NO_ANSWER = "the database does not answer; look at MYSQL_HOST and MYSQL_PORT, and whether it runs"
ADVICE = {
    1021: "the database's disk is full; give it room",
    1040: "the database has too many connections; raise its max_connections, or lower TUSFM_MYSQL_POOL",
    1044: "the database forbids it; grant the user all rights on the database of MYSQL_DATABASE",
    1045: "the database does not accept us; look at MYSQL_USER, MYSQL_PASSWORD and MYSQL_ROOT_PASSWORD",
    1049: "there is no database of this name; create it, or look at MYSQL_DATABASE",
    1054: NOT_MIGRATED,
    1114: "the database is full; give it room",
    1142: "the database forbids it; grant the user all rights on the database of MYSQL_DATABASE",
    1146: NOT_MIGRATED,
    1290: "the database is read-only; look at its read_only, or whether MYSQL_HOST is a replica",
    1836: "the database is read-only; look at its read_only, or whether MYSQL_HOST is a replica",
    2002: NO_ANSWER,
    2003: NO_ANSWER,
    2013: NO_ANSWER,
}
"""What MySQL's errors ask an operator to do."""
BROKEN = (OSError, EOFError, RuntimeError)
"""A connection that is gone, or time that ran out (an OSError too); asyncmy and uvloop say RuntimeError when it is closed
under them."""
PASSING = {1040, 1158, 1159, 1160, 1161, 1205, 1213, 2002, 2003, 2006, 2013, 2014, 2055, 1053, 1927, 0}


def _passing(error: BaseException) -> bool:
    """Tell whether the same transaction may do better in a moment: deadlocks, and connections lost or refused."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, BROKEN)
    arguments = getattr(error.orig, "args", ())
    code = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    return error.connection_invalidated or code in PASSING


def _unavailable(error: BaseException) -> MetadataUnavailable:
    return MetadataUnavailable(_words(error))


def _words(error: BaseException) -> str:
    """Say what went wrong in the driver's words, without the statement and its parameters; for the log."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, sqlite3.OperationalError) and str(original).startswith(("no such table", "no such column")):
        return NOT_MIGRATED
    arguments = getattr(original, "args", ())
    if arguments and arguments[0] in ADVICE:
        return ADVICE[arguments[0]]
    if isinstance(original, BROKEN):
        return NO_ANSWER
    return f"the database said: {original}" if str(original) else f"the database: {type(original).__name__}"
