"""Connections to MySQL and MariaDB by asyncmy, and the few that are kept open.

SQLAlchemy's own cost more than driver and network together, and nothing of what they add is used here; its errors are
raised, and its bridge lets plain functions wait for the driver.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from asyncmy import connect, errors
from asyncmy.constants import CLIENT
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.util import await_only

from tusfm.adapters.databases import Rows

CONNECT_SECONDS = 3
AGE_SECONDS = 1800.0  # servers, and what stands before them, forget connections that are silent for long
GOODBYES = {1053, 1927, 4031}  # the server stops, or ends the connection
OUT_OF_STEP = 2014  # CR_COMMANDS_OUT_OF_SYNC
OF_CLIENTS = range(2000, 3000)  # errors that the driver found; the others are what the server answered
UTC = "SET time_zone = '+00:00'"
READ_COMMITTED = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"


class MysqlConnection:
    """Implements databases.Connection on one of asyncmy's; it is used within a greenlet of SQLAlchemy's bridge."""

    def __init__(self, driver: Any) -> None:  # noqa: ANN401  asyncmy has no types
        """Take an open connection."""
        self._driver = driver
        self._began = False
        self._posted: list[str] = []
        self.since = time.monotonic()
        self.sound = True
        """Whether the server has answered everything, and goes on listening."""
        self.doubtful = False
        """Whether a COMMIT was sent that may have been heard, and did not succeed."""

    def execute(self, statement: str, values: Mapping[str, object] | None = None, /) -> Rows:
        """Execute a statement. DBAPIError."""
        return await_only(self._execute(statement, values))

    def post(self, statement: str, values: Mapping[str, object], /) -> None:
        """Keep a statement for the packet of the next one, whose round trip it shares."""
        self._posted.append(self._driver.cursor().mogrify(statement, values))

    async def _execute(self, statement: str, values: Mapping[str, object] | None = None) -> Rows:
        self.sound, self._began = False, True
        left = len(self._posted)
        try:
            cursor = self._driver.cursor()
            said = "; ".join([*self._posted, cursor.mogrify(statement, values)])
            self._posted.clear()
            await cursor.execute(said)
            while left:
                left -= 1
                if not await cursor.nextset():  # what stands between us and the server swallowed one
                    raise errors.OperationalError(OUT_OF_STEP, "a statement was not answered")
            rows = Rows(cursor.rowcount, await cursor.fetchall())
        except errors.MySQLError as error:
            self.sound = not _ends_connection(error)
            self.doubtful = self.doubtful and not (left and self.sound)  # the server leaves what comes after an error
            kind = IntegrityError if isinstance(error, errors.IntegrityError) else DBAPIError
            raise kind(None, None, error, connection_invalidated=not self.sound) from error
        self.sound = True
        return rows

    def commit(self) -> None:
        """Make what was done since the last commit count. DBAPIError."""
        self.doubtful = True
        self.execute("COMMIT")
        self._began = self.doubtful = False

    def roll_back(self) -> None:
        """Undo what was not committed. DBAPIError."""
        self._posted.clear()
        if self._began and not self._driver.get_autocommit():
            self.execute("ROLLBACK")
        self._began = False

    def cut(self) -> None:
        """Close it without a word: the server rolls back."""
        self._driver.close()

    async def close(self) -> None:
        """Close it."""
        await self._driver.ensure_closed()


class Connections:
    """Connections of one kind, kept open for whoever comes next; how many there may be is not its business."""

    def __init__(self, url: str, *, autocommit: bool) -> None:
        """Open nothing yet. *autocommit*: each statement is a transaction, of one round trip; else READ COMMITTED."""
        address = make_url(url)
        self._arguments = {
            "host": address.host,
            "port": address.port,
            "user": address.username,
            "password": address.password or "",
            "database": address.database,
            "charset": "utf8mb4",
            "client_flag": CLIENT.FOUND_ROWS,  # an UPDATE tells how many rows it found, changed or not
            "connect_timeout": CONNECT_SECONDS,
            "autocommit": autocommit,
            "init_command": UTC if autocommit else f"{UTC}; {READ_COMMITTED}",
        }
        self._kept: list[MysqlConnection] = []
        self._closed = False

    @contextlib.contextmanager
    def one(self) -> Iterator[MysqlConnection]:
        """Lend a connection, within a greenlet of the bridge. DBAPIError."""
        connection = self._young() or await_only(self._open())
        try:
            yield connection
        except DBAPIError as error:
            if error.connection_invalidated:  # a server that starts again ends all
                self._cut_kept()
            raise
        finally:
            self._take_back(connection)

    def _take_back(self, connection: MysqlConnection) -> None:
        try:
            if connection.sound:
                connection.roll_back()
        finally:
            if connection.sound and not self._closed:
                self._kept.append(connection)
            else:
                connection.cut()

    def _young(self) -> MysqlConnection | None:
        while self._kept:
            connection = self._kept.pop()
            if time.monotonic() - connection.since < AGE_SECONDS:
                return connection
            connection.cut()
        return None

    async def _open(self) -> MysqlConnection:
        try:
            return MysqlConnection(await connect(**self._arguments))
        except errors.MySQLError as error:
            raise DBAPIError(None, None, error) from error

    def _cut_kept(self) -> None:
        for connection in self._kept:
            connection.cut()
        self._kept.clear()

    async def close(self) -> None:
        """Close those that are kept."""
        self._closed = True
        while self._kept:
            with contextlib.suppress(errors.MySQLError, OSError):
                await self._kept.pop().close()


def _ends_connection(error: errors.MySQLError) -> bool:
    """Tell whether a connection is of no use after an error: all but what the server answers of a statement."""
    code = error.args[0] if error.args else None
    return not isinstance(code, int) or not code or code in OF_CLIENTS or code in GOODBYES
