"""MySQL and MariaDB behind the face of `databases`: transactions run on asyncmy, over SQLAlchemy's bridge."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.util import greenlet_spawn

from tusfm.adapters.database_errors import BROKEN, NO_ANSWER, passing, unavailable, words
from tusfm.adapters.databases import MYSQL, Seen, Work
from tusfm.adapters.mysql_connections import Connections, MysqlConnection
from tusfm.domain.errors import Fenced, MetadataUnavailable, OutcomeUnknown

T = TypeVar("T")

PATIENCE_SECONDS = 3.0  # how long a passing failure is hidden from the caller, and the answer to a read is waited for
WRITE_SECONDS = 10.0  # the same for a transaction's: where a disk is busy a commit takes seconds, and a body would come again
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
        writers = max(1, pool_size - readers)
        self._reading = Connections(url, autocommit=True)
        self._writing = Connections(url, autocommit=False)
        self._readers, self._writers = _Queue(readers, PATIENCE_SECONDS), _Queue(writers, WRITE_SECONDS)

    async def start(self) -> None:
        """Do nothing: connections are opened by their first use."""

    async def close(self) -> None:
        """Close the connections."""
        for connections in (self._reading, self._writing):
            await connections.close()

    async def read(self, work: Work[T]) -> T:
        """Run a reading function, again when the connection turns out to be dead."""

        def attempt() -> T:
            with self._reading.one() as connection:
                return work(connection)

        return await self._persist(attempt, _Outcome(), self._readers)

    async def write(self, work: Work[T], seen: Seen | None = None) -> T:
        """Run a transaction, again after a deadlock or a lost connection."""
        outcome = _Outcome()

        def attempt() -> T:
            with self._writing.one() as connection:
                return outcome.of(connection, work, seen)

        return await self._persist(attempt, outcome, self._writers)

    async def _persist(self, attempt: Callable[[], T], outcome: "_Outcome", queue: "_Queue") -> T:
        async with queue.turn():
            result = await self._try(attempt, outcome, queue.patience)
            queue.answered = asyncio.get_running_loop().time()
            return result

    async def _try(self, attempt: Callable[[], T], outcome: "_Outcome", patience: float) -> T:
        """Make attempts while failures may pass; each crosses the bridge once, whatever it says to the database."""
        loop, cancelled = asyncio.get_running_loop(), _cancelled()
        began = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(began + patience):
                    return await greenlet_spawn(attempt)
            except IntegrityError:
                raise
            except (SQLAlchemyError, *BROKEN) as error:
                if _cancelled() > cancelled:  # drivers take a cancellation for a connection that was lost
                    raise asyncio.CancelledError from error
                outcome.failed()
                if loop.time() >= began + PATIENCE_SECONDS or not passing(error):
                    raise (OutcomeUnknown(words(error)) if outcome.unknown else unavailable(error)) from error
                log.debug("the database is asked again: %s", words(error))
                await asyncio.sleep(PAUSE_SECONDS)


def _cancelled() -> int:
    """Return how often the running task was told to end."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


class _Queue:
    """Those that wait for one of so many connections; a crowd is not a database that is away."""

    def __init__(self, size: int, patience: float) -> None:
        self.patience = patience
        """Seconds for which an answer is waited for."""
        self._free = asyncio.Semaphore(size)
        self.answered = 0.0
        """When the database last answered one of them, by the loop's clock."""

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait, for as long as the database answers anybody. MetadataUnavailable."""
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()

    async def _wait(self) -> None:
        """Keep the place in the queue meanwhile."""
        began = asyncio.get_running_loop().time()
        acquiring = asyncio.ensure_future(self._free.acquire())
        try:
            while not (await asyncio.wait([acquiring], timeout=self.patience))[0]:
                if asyncio.get_running_loop().time() - max(self.answered, began) >= self.patience:
                    raise MetadataUnavailable(NO_ANSWER)
        except BaseException:
            if not acquiring.cancel():
                self._free.release()
            raise


class _Outcome:
    """What is known of a transaction that may be sent more than once."""

    def __init__(self) -> None:
        self.unknown = False
        self._committing = False

    def failed(self) -> None:
        """Remember whether it was the answer to COMMIT that was lost."""
        self.unknown = self.unknown or self._committing
        self._committing = False

    def of(self, connection: MysqlConnection, work: Work[T], seen: Seen | None) -> T:
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
        try:
            connection.commit()
        finally:
            self._committing = connection.doubtful
        return result
