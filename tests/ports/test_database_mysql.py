"""MySQL behind the face of `databases`: what becomes of a transaction, and of its connection, when something ends it."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.util import await_only

from tusfm.adapters import database_mysql
from tusfm.adapters.database_mysql import Mysql
from tusfm.adapters.databases import Connection
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import MetadataUnavailable, OutcomeUnknown


async def test_a_cancelled_transaction_is_not_tried_again(mysql_url: str) -> None:
    """A driver may take the cancellation for a lost connection; the task ends all the same, and tries nothing more."""
    database = Mysql(mysql_url, 3)
    tries: list[asyncio.Event] = []

    def work(connection: Connection) -> None:
        tries.append(asyncio.Event())
        connection.execute("SELECT 1")
        began.set()
        try:
            await_only(tries[-1].wait())
        except asyncio.CancelledError as error:
            raise OperationalError("SELECT 1", {}, ConnectionResetError()) from error

    began = asyncio.Event()
    writing = asyncio.create_task(database.write(work))
    await began.wait()
    writing.cancel()
    await asyncio.wait([writing])
    assert (writing.cancelled(), len(tries)) == (True, 1)
    await database.close()


async def test_a_transaction_waits_for_a_busy_disk(mysql_url: str) -> None:
    """A database that takes more than three seconds to answer is not away: who has sent a body need not send it again."""
    database = Mysql(mysql_url, 3)

    def work(connection: Connection) -> int:
        return int(connection.execute("SELECT SLEEP(3.5)").scalar_one())

    try:
        assert await database.write(work) == 0
    finally:
        await database.close()


def connection_id(connection: Connection) -> int:
    """Ask who we are to the server."""
    return int(connection.execute("SELECT CONNECTION_ID()").scalar_one())


@pytest.fixture
async def database(mysql_url: str) -> AsyncIterator[Mysql]:
    """Open a database with one connection for reading, and one for transactions, and a table that takes each number once."""
    database = Mysql(mysql_url, 2)
    await database.write(lambda connection: connection.execute("CREATE TABLE numbers (n INT PRIMARY KEY)").rowcount)
    yield database
    await database.close()


async def test_what_was_refused_leaves_nothing(database: Mysql) -> None:
    """A transaction whose row is there already is undone, and its connection goes on."""

    def add_twice(connection: Connection) -> None:
        for _ in range(2):
            connection.execute("INSERT INTO numbers VALUES (%(n)s)", {"n": 1})

    before = await database.write(connection_id)
    with pytest.raises(IntegrityError):
        await database.write(add_twice)
    assert await database.write(connection_id) == before
    assert await database.read(lambda connection: connection.execute("SELECT n FROM numbers").first()) is None


ADD = "INSERT INTO numbers VALUES (%(n)s)"


async def test_what_is_posted_is_there_for_the_next_statement(database: Mysql) -> None:
    """Statements that are asked nothing take effect in their turn, with the next one, or with the commit."""

    def work(connection: Connection) -> list[int]:
        connection.post(ADD, {"n": 1})
        connection.post(ADD, {"n": 2})
        found = [row[0] for row in connection.execute("SELECT n FROM numbers ORDER BY n")]
        connection.post(ADD, {"n": 3})
        return found

    assert await database.write(work) == [1, 2]
    assert await database.read(lambda connection: connection.execute("SELECT COUNT(*) FROM numbers").scalar()) == 3


async def test_what_was_posted_and_refused_is_not_committed(database: Mysql) -> None:
    """A COMMIT behind a statement that the server refuses is not heard, and nobody is in doubt of it."""

    def work(connection: Connection) -> None:
        connection.post(ADD, {"n": 1})
        connection.post("SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1644", {})

    def add_twice(connection: Connection) -> None:
        for _ in range(2):
            connection.post(ADD, {"n": 1})

    before = await database.write(connection_id)
    with pytest.raises(MetadataUnavailable) as caught:
        await database.write(work)
    assert not isinstance(caught.value, OutcomeUnknown)
    with pytest.raises(IntegrityError):
        await database.write(add_twice)
    assert await database.write(connection_id) == before
    assert await database.read(lambda connection: connection.execute("SELECT n FROM numbers").first()) is None


@pytest.mark.parametrize("code", [1644, 3572, 4025])
async def test_what_the_server_refuses_for_good_is_asked_once(database: Mysql, code: int) -> None:
    """An error of a statement is no lost connection, however high its number: servers count on where drivers' errors end."""
    tries: list[int] = []

    def refused(connection: Connection) -> None:
        tries.append(connection_id(connection))
        connection.execute(f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}")

    with pytest.raises(MetadataUnavailable):
        await database.write(refused)
    assert tries == [await database.write(connection_id)]


async def test_a_connection_that_the_server_ended_is_replaced(database: Mysql) -> None:
    """The next transaction does not notice."""
    ended = await database.write(connection_id)
    await database.read(lambda connection: connection.execute(f"KILL {ended}").rowcount)
    assert await database.write(connection_id) != ended


async def test_a_statement_that_was_left_ends_its_connection(database: Mysql) -> None:
    """Nobody is given the answer to another one's question."""
    asked = asyncio.Event()

    def ask(connection: Connection) -> int:
        asked.set()
        return int(connection.execute("SELECT SLEEP(60)").scalar_one())

    before = await database.write(connection_id)
    asking = asyncio.create_task(database.write(ask))
    await asked.wait()
    asking.cancel()
    await asyncio.wait([asking])
    assert await database.write(connection_id) != before


async def test_a_database_that_says_nothing_is_not_taken_for_an_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is migrated nobody can tell: a server that starts meanwhile is not out of service for that."""
    monkeypatch.setattr(database_mysql, "PATIENCE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        metadata = SqlMetadata(f"mysql+asyncmy://root@127.0.0.1:{silent.getsockname()[1]}/tusfm", "one")
        try:
            with pytest.raises(MetadataUnavailable, match="does not answer"):
                await metadata.migrated()
        finally:
            await metadata.close()
