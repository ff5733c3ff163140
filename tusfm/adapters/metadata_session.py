"""What the transactions of all concerns share: running them, reading an upload, writing extents and messages."""

import functools
from collections.abc import Callable, Iterable, Sequence

from tusfm.adapters import rows
from tusfm.adapters.databases import Connection, Database, Rows
from tusfm.domain.errors import Fenced
from tusfm.domain.upload import Extent, ExtentKind, Upload
from tusfm.ports.metadata import Message

ADD_EXTENT = (
    "INSERT INTO extents (upload_id, kind, first_byte, byte_count, object_key, number, etag) "
    "VALUES (:id, :kind, :start, :length, :key, :number, :etag)"
)
GROW_EXTENT = (
    "UPDATE extents SET byte_count = :length, object_key = :key, number = :number, etag = :etag "
    "WHERE upload_id = :id AND kind = :kind AND first_byte = :start"
)
REMOVED_AT_ONCE = 16
REMOVE_EXTENTS = (
    "DELETE FROM extents WHERE upload_id = :id AND kind = :kind "
    f"AND first_byte IN ({', '.join(f':start{number}' for number in range(REMOVED_AT_ONCE))})"
)
ADD_MESSAGE = (
    "INSERT INTO outbox (message_id, kind, upload_id, body, process, written_at) "
    "VALUES (:id, :kind, :upload_id, :body, :process, {now})"
)
DAY_MS = 86_400_000
FENCED = "Another request has taken over this upload."


class Session:
    """A database, and the statements of one dialect."""

    def __init__(self, database: Database, process: str) -> None:
        """Take the database, and the name that this process's messages bear."""
        self.db = database
        self.process = process
        self.sql: Callable[[str], str] = functools.cache(database.dialect.sql)

    def run(self, connection: Connection, statement: str, **values: object) -> Rows:
        """Execute a statement, as the driver has it: SQLAlchemy's own text costs more than what it does for us."""
        return connection.execute(self.sql(statement), values)

    def post(self, connection: Connection, statement: str, **values: object) -> None:
        """Execute a statement whose outcome is that of its transaction; to MySQL it travels with what comes after it."""
        connection.post(self.sql(statement), values)

    def fence(self, connection: Connection, statement: str, **values: object) -> None:
        """Execute the conditional UPDATE that decides. Fenced when it finds no row."""
        if self.run(connection, statement, **values).rowcount != 1:
            raise Fenced(FENCED)

    def upload(self, connection: Connection, upload_id: str) -> Upload | None:
        """Read one upload."""
        if not upload_id.isascii():  # MySQL refuses to compare it with a column of ASCII
            return None
        row = self.run(connection, rows.SELECT_UPLOAD + "WHERE u.id = :id", id=upload_id).first()
        # Collations that pad with blanks find 'abc' for 'abc '.
        return None if row is None or row[0] != upload_id else rows.upload(row)

    def uploads(self, connection: Connection, where: str, **values: object) -> list[Upload]:
        """Read several."""
        return [rows.upload(row) for row in self.run(connection, rows.SELECT_UPLOAD + where, **values)]

    def extents_of(self, connection: Connection, upload_id: str, kinds: Sequence[ExtentKind]) -> list[Extent]:
        """Read extents in order of their start."""
        names = ", ".join(f"'{kind.value}'" for kind in kinds)
        chosen = f"AND kind IN ({names}) " if kinds else ""
        found = self.run(connection, rows.SELECT_EXTENTS + chosen + "ORDER BY first_byte", id=upload_id)
        return [rows.extent(row) for row in found]

    def change_extents(
        self,
        connection: Connection,
        upload_id: str,
        add: Iterable[Extent],
        remove: Iterable[Extent],
    ) -> None:
        """Remove and add; what is in both changes in place."""
        leaving = {(one.kind, one.start): one for one in remove}
        for one in add:
            grows = leaving.pop((one.kind, one.start), None) is not None
            statement = GROW_EXTENT if grows else ADD_EXTENT
            self.post(connection, statement, **rows.extent_values(upload_id, one))
        self.remove_extents(connection, upload_id, leaving)

    def remove_extents(self, connection: Connection, upload_id: str, leaving: Iterable[tuple[ExtentKind, int]]) -> None:
        """Remove extents by kind and start; many at once, for a part may have been made of a hundred tails."""
        by_kind: dict[ExtentKind, list[int]] = {}
        for kind, start in leaving:
            by_kind.setdefault(kind, []).append(start)
        for kind, starts in by_kind.items():
            for at in range(0, len(starts), REMOVED_AT_ONCE):
                some = starts[at : at + REMOVED_AT_ONCE]
                filled = [*some, *some[:1] * (REMOVED_AT_ONCE - len(some))]
                named = {f"start{number}": start for number, start in enumerate(filled)}
                self.post(connection, REMOVE_EXTENTS, id=upload_id, kind=kind.value, **named)

    def send(self, connection: Connection, messages: Iterable[Message | None]) -> None:
        """Write messages to the outbox."""
        for message in messages:
            if message is not None:
                self.post(connection, ADD_MESSAGE, **rows.message_values(message, self.process))


def milliseconds(seconds: float | None) -> int | None:
    """Convert a duration as the ports have it into one as the columns have it."""
    return None if seconds is None else int(seconds * 1000)
