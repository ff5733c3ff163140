"""MySQL and MariaDB behind the face of `databases`: transactions run on asyncmy, over SQLAlchemy's bridge."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from tusfm.adapters.database_errors import BROKEN, passing, unavailable, words
from tusfm.adapters.databases import MYSQL, Seen, Work
from tusfm.domain.errors import Fenced, OutcomeUnknown

T = TypeVar("T")

PATIENCE_SECONDS = 3.0  # how long a passing failure is hidden from the caller
PAUSE_SECONDS = 0.05
UNTOLD = "the database's answer to a commit was lost, and somebody else has changed the upload since"

log = logging.getLogger(__name__)


class Mysql:
    """MySQL or MariaDB through asyncmy.

    Reads and transactions have connections apart: a read is one statement that commits itself, and so one round trip.
    Transactions are READ COMMITTED, for nothing here reads twice, and gap locks would only deadlock.
    """

    dialect = MYSQL

    def __init__(self, url: str, pool_size: int) -> None:
        """Open nothing yet. *pool_size*: connections in all, a third of them for reading, and one of each at least."""
        readers = max(1, pool_size // 3)
        self.reading = _engine(url, readers, "AUTOCOMMIT")
        self.writing = _engine(url, max(1, pool_size - readers), "READ COMMITTED")

    async def start(self) -> None:
        """Do nothing: connections are opened by their first use."""

    async def close(self) -> None:
        """Close the pools."""
        for engine in (self.reading, self.writing):
            await engine.dispose()

    async def read(self, work: Work[T]) -> T:
        """Run a reading function, again when the connection turns out to be dead."""

        def attempt() -> T:
            with self.reading.sync_engine.connect() as connection:
                return work(connection)

        return await self._persist(attempt, _Outcome())

    async def write(self, work: Work[T], seen: Seen | None = None) -> T:
        """Run a transaction, again after a deadlock or a lost connection."""
        outcome = _Outcome()

        def attempt() -> T:
            with self.writing.sync_engine.connect() as connection:
                return outcome.of(connection, work, seen)

        return await self._persist(attempt, outcome)

    async def _persist(self, attempt: Callable[[], T], outcome: "_Outcome") -> T:
        """Make attempts while failures may pass; each crosses the bridge once, whatever it says to the database."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(end):
                    return await greenlet_spawn(attempt)
            except IntegrityError:
                raise
            except (SQLAlchemyError, *BROKEN) as error:
                outcome.failed()
                if loop.time() >= end or not passing(error):
                    raise (OutcomeUnknown(words(error)) if outcome.unknown else unavailable(error)) from error
                log.debug("the database is asked again: %s", words(error))
                await asyncio.sleep(PAUSE_SECONDS)


def _engine(url: str, connections: int, isolation: str) -> AsyncEngine:
    """Make a pool. Every transaction is ended before its connection goes back, so none is rolled back once more."""
    return create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_recycle=1800,
        pool_reset_on_return=None,
        skip_autocommit_rollback=True,
        isolation_level=isolation,
        connect_args={"connect_timeout": 3, "init_command": "SET time_zone = '+00:00'"},
    )


class _Outcome:
    """What is known of a transaction that may be sent more than once."""

    def __init__(self) -> None:
        self.unknown = False
        self._committing = False

    def failed(self) -> None:
        """Remember whether it was the answer to COMMIT that was lost."""
        self.unknown = self.unknown or self._committing
        self._committing = False

    def of(self, connection: Connection, work: Work[T], seen: Seen | None) -> T:
        """Run the transaction once; one that finds nothing to do may have been done before, by itself.

        If it was not seen to have been done, somebody may have gone on from it since: nobody can tell, and its objects stay.
        """
        try:
            result = work(connection)
        except Fenced as error:
            if not self.unknown:
                raise
            if seen is not None and seen(connection):
                return None  # type: ignore[return-value]  # such transactions return nothing
            raise OutcomeUnknown(UNTOLD) from error
        self._committing = True
        connection.commit()
        self._committing = False
        return result
