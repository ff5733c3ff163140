"""Metadata on SQL: SQLite or MySQL, one implementation."""

from collections.abc import Sequence

from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError

from tusfm.adapters import rows
from tusfm.adapters.clocks import compare_clocks
from tusfm.adapters.database_errors import NOT_MIGRATED, NOT_THERE
from tusfm.adapters.databases import Connection, Database
from tusfm.adapters.metadata_chunking import ChunkingSql
from tusfm.adapters.metadata_keys import KeysSql
from tusfm.adapters.metadata_session import DAY_MS, milliseconds
from tusfm.domain.errors import MetadataUnavailable
from tusfm.domain.quotas import Quotas
from tusfm.domain.upload import State, Upload
from tusfm.ports.checks import Checks
from tusfm.ports.metadata import Census, Pending, Selection

OTHERS_MS = 5000  # another process's messages are left to it for so long
HEAD_REVISION = "0006"
OVERDUE = (
    "SELECT id FROM uploads WHERE state IN ('receiving', 'failed') AND expires_at < {now} "
    "UNION SELECT id FROM uploads WHERE state = 'available' AND role = 'partial' AND expires_at < {now} "
    "AND NOT EXISTS (SELECT 1 FROM partials p JOIN uploads f ON f.id = p.final_id "
    "WHERE p.partial_id = uploads.id AND f.state IN ('receiving', 'finalizing', 'available')) LIMIT :limit"
)
TOMBSTONES = "WHERE u.state = :state ORDER BY u.ended_at LIMIT :limit"
IS_BURIABLE = (
    f"SELECT id FROM uploads WHERE id = :id AND state IN ('terminated', 'expired') AND ended_at < {{now}} - {DAY_MS}"
)
LEAD = (
    "UPDATE duties SET process = :process, held_until = {now} + :time "
    "WHERE name = :name AND (held_until < {now} OR process = :process)"
)
HAS_DUTY = "SELECT 1 FROM duties WHERE name = :name"
ADD_DUTY = "INSERT INTO duties (name, process, held_until) VALUES (:name, :process, {now} + :time)"
PENDING = (
    "SELECT number, written_at, message_id, kind, upload_id, body FROM outbox "
    f"WHERE process = :process OR written_at < {{now}} - {OTHERS_MS} ORDER BY number LIMIT :limit"
)
COUNT_UPLOADS = "SELECT state, COUNT(*) FROM uploads GROUP BY state"
COUNT_FAILING = "SELECT COUNT(*) FROM uploads WHERE state = 'finalizing' AND attempts > 2"
COUNT_MESSAGES = "SELECT COUNT(*), {now} - MIN(written_at) FROM outbox"
NO_QUOTAS = Quotas()
REVISION = "SELECT version_num FROM tusfm_alembic"
DEPLOYMENT = "SELECT name, secret FROM deployment"


class SqlMetadata(ChunkingSql, KeysSql):
    """Implements ports.chunking.FileMetadata and ports.access.Keys."""

    def __init__(self, url: str, process: str, pool_size: int = 10, quotas: Quotas = NO_QUOTAS) -> None:
        """Take SQLAlchemy's address of the database, and this process's random name; nothing is opened yet.

        With *quotas* accounts are kept of what owners hold.
        """
        super().__init__(_database(url, pool_size), process, quotas)

    async def start(self) -> None:
        """Open what has to be open; a database that is away is no error here."""
        await self.db.start()

    async def close(self) -> None:
        """Close everything."""
        await self.db.close()

    async def overdue(self, limit: int) -> list[str]:
        """Find uploads whose time has passed."""
        return await self._ids(OVERDUE, limit=limit)

    async def tombstones(self, limit: int) -> list[Upload]:
        """Read tombstones state by state, for an index has the oldest of one state, and would have to sort those of two."""

        def work(connection: Connection) -> list[Upload]:
            ended = (State.TERMINATED, State.EXPIRED)
            return [one for state in ended for one in self.uploads(connection, TOMBSTONES, state=state.value, limit=limit)]

        return await self.db.read(work)

    async def bury(self, upload_id: str) -> bool:
        """Delete a tombstone whose day is over."""

        def work(connection: Connection) -> bool:
            if self.run(connection, IS_BURIABLE, id=upload_id).first() is None:
                return False
            self.erase(connection, upload_id)
            return True

        return await self.db.write(work)

    async def select(self, selection: Selection) -> list[Upload]:
        """Read the uploads that an operator looks for."""
        where, values = _chosen(selection)
        return await self.db.read(lambda connection: self.uploads(connection, where, **values))

    async def census(self) -> Census:
        """Count."""

        def work(connection: Connection) -> Census:
            counts = {State(row[0]): int(row[1]) for row in self.run(connection, COUNT_UPLOADS)}
            messages, oldest = self.run(connection, COUNT_MESSAGES).one()
            return Census(
                uploads={state: counts.get(state, 0) for state in State},
                failing=self.run(connection, COUNT_FAILING).scalar_one(),
                messages=messages,
                oldest=max(0, oldest or 0) / 1000,
            )

        return await self.db.read(work)

    async def lead(self, name: str, process: str, seconds: float) -> bool:
        """Hold a duty."""

        def work(connection: Connection) -> bool:
            values = {"name": name, "process": process, "time": milliseconds(seconds)}
            if self.run(connection, LEAD, **values).rowcount == 1:
                return True
            if self.run(connection, HAS_DUTY, name=name).first() is not None:
                return False
            self.run(connection, ADD_DUTY, **values)
            return True

        try:
            return await self.db.write(work)
        except IntegrityError:  # another process began it in the same moment
            return False

    async def pending(self, process: str, limit: int) -> list[Pending]:
        """Read the outbox."""

        def work(connection: Connection) -> list[Pending]:
            return [rows.pending(row) for row in self.run(connection, PENDING, process=process, limit=limit)]

        return await self.db.read(work)

    async def confirm(self, numbers: Sequence[int]) -> None:
        """Take delivered messages out."""
        if numbers:
            listed = ", ".join(str(int(number)) for number in numbers)
            statement = f"DELETE FROM outbox WHERE number IN ({listed})"
            await self.db.write(lambda connection: connection.post(statement, {}))

    async def migrated(self) -> bool:
        """Compare the schema's revision with ours. A newer one will do: each leaves what the version before it needs."""

        def work(connection: Connection) -> bool:
            return str(self.run(connection, REVISION).scalar() or "") >= HEAD_REVISION

        try:
            return await self.db.read(work)
        except MetadataUnavailable as error:
            if str(error) in {NOT_MIGRATED, NOT_THERE}:
                return False
            raise

    def checks(self) -> Checks:
        """Ask, write, and read the clock."""
        return [
            ("database reached", self._reached),
            ("database migrated", self._require_migrated),
            ("database written", self._written),
            ("database's clock", self._clock),
        ]

    async def _reached(self) -> None:
        await self.db.read(lambda connection: self.run(connection, "SELECT 1").scalar())

    async def _require_migrated(self) -> None:
        if not await self.migrated():
            msg = "it is not; run 'tusfm migrate'"
            raise MetadataUnavailable(msg)

    async def _written(self) -> None:
        await self.lead("check", self.process, 0)

    async def _clock(self) -> None:
        now = await self.db.read(lambda connection: self.run(connection, "SELECT {now}").scalar_one())
        compare_clocks(now / 1000)

    async def secret(self) -> bytes:
        """Read the secret that signs links."""
        return bytes.fromhex((await self._deployment())[1])

    async def deployment(self) -> str:
        """Read the deployment's name."""
        return (await self._deployment())[0]

    async def _deployment(self) -> tuple[str, str]:
        def work(connection: Connection) -> tuple[str, str]:
            row = self.run(connection, DEPLOYMENT).one()
            return row[0], row[1]

        return await self.db.read(work)


def _chosen(selection: Selection) -> tuple[str, dict[str, object]]:
    """Write the end of the statement that selects, and its values."""
    before = selection.before or (None, None)
    conditions = {
        "u.owner = :owner": ("owner", selection.owner),
        "u.created_at <= {now} - :older": ("older", milliseconds(selection.older)),
        "u.created_at >= {now} - :younger": ("younger", milliseconds(selection.younger)),
        "COALESCE(u.upload_length, u.upload_offset) >= :smallest": ("smallest", selection.smallest),
        "COALESCE(u.upload_length, u.upload_offset) <= :largest": ("largest", selection.largest),
        "(u.created_at < :created OR u.created_at = :created AND u.id < :before)": ("before", before[1]),
    }
    named = {f"state{number}": state.value for number, state in enumerate(selection.states)}
    wanted = [condition for condition, (_, value) in conditions.items() if value is not None]
    if named:
        wanted.append(f"u.state IN ({', '.join(f':{name}' for name in named)})")
    where = f"WHERE {' AND '.join(wanted)} " if wanted else ""
    values: dict[str, object] = {name: value for name, value in conditions.values() if value is not None}
    if selection.before is not None:
        values["created"] = before[0]
    return f"{where}ORDER BY u.created_at DESC, u.id DESC LIMIT :limit", {**values, **named, "limit": selection.limit}


def _database(url: str, pool_size: int) -> Database:
    """Choose by the address; a process needs one of them, and is not to load the other."""
    if make_url(url).get_backend_name() == "sqlite":
        from tusfm.adapters.database_sqlite import Sqlite  # noqa: PLC0415

        return Sqlite(url)
    from tusfm.adapters.database_mysql import Mysql  # noqa: PLC0415

    return Mysql(url, pool_size)
