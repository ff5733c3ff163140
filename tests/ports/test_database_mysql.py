"""MySQL behind the face of `databases`: what happens to a transaction whose task is ended."""

import asyncio

from sqlalchemy.exc import OperationalError
from sqlalchemy.util import await_only

from tusfm.adapters.database_mysql import Mysql
from tusfm.adapters.databases import Connection


async def test_a_cancelled_transaction_is_not_tried_again(mysql_url: str) -> None:
    """A driver may take the cancellation for a lost connection; the task ends all the same, and tries nothing more."""
    database = Mysql(mysql_url, 3)
    tries: list[asyncio.Event] = []

    def work(connection: Connection) -> None:
        tries.append(asyncio.Event())
        connection.exec_driver_sql("SELECT 1").all()
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
        return int(connection.exec_driver_sql("SELECT SLEEP(3.5)").scalar_one())

    try:
        assert await database.write(work) == 0
    finally:
        await database.close()
