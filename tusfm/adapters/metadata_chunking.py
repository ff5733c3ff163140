"""Transactions of chunks, and of the files that they become; see ports.chunking.Chunking for what each promises."""

import contextlib
from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError

from tusfm.adapters import rows
from tusfm.adapters.databases import Connection
from tusfm.adapters.metadata_accounts import NO_LIMITS
from tusfm.adapters.metadata_ending import FORGET_COMPOSED, EndingSql
from tusfm.adapters.metadata_receiving import IN_TIME
from tusfm.adapters.metadata_session import DAY_MS, milliseconds
from tusfm.domain.errors import Fenced, NotFound
from tusfm.domain.files import MOST_ID, UPLOAD_SHAPE, Chunk, File
from tusfm.domain.upload import State, Upload
from tusfm.ports.chunking import NewFile
from tusfm.ports.metadata import Message

INTEND = "INSERT INTO intents (name, begun_at) VALUES (:name, {now})"
INTENT = "SELECT seq FROM intents WHERE name = :name"
FORSAKE = "DELETE FROM intents WHERE name = :name"
OLD = f"begun_at < {{now}} - {DAY_MS}"
ABANDONED = f"SELECT name FROM intents WHERE {OLD} ORDER BY begun_at LIMIT :limit"
KNOWN = "SELECT 1 FROM intents WHERE name = :name UNION ALL SELECT 1 FROM chunks WHERE name = :name"
"""One statement: a chunk goes from one table to the other in a transaction."""
REVISE = (
    "UPDATE uploads SET revision = revision + 1, expires_at = {now} + :expires WHERE id = :id AND role = 'chunked' "
    f"AND (state = 'finalizing' OR state IN ('receiving', 'failed') AND {IN_TIME})"
)
RECEIVED = "UPDATE uploads SET upload_offset = upload_offset + :size WHERE id = :id AND charged IS NOT NULL"
"""Of chunks the offset only says how many bytes there are; nobody but the accounts looks at it."""
CHUNK_AT = "SELECT position, name, sizes, seq FROM chunks WHERE upload_id = :id AND position = :position"
ADD_CHUNK = "INSERT INTO chunks (upload_id, position, seq, name, sizes) VALUES (:id, :position, :seq, :name, :sizes)"
REPLACE_CHUNK = "UPDATE chunks SET seq = :seq, name = :name, sizes = :sizes WHERE upload_id = :id AND position = :position"
FORGET_CHUNKS = "DELETE FROM chunks WHERE upload_id = :id"
BEGIN_ROUND = (
    "UPDATE uploads SET state = 'finalizing', lease = lease + 1, lease_until = NULL, retry_at = NULL, attempts = 0, "
    f"error = NULL, ended_at = NULL WHERE id = :id AND role = 'chunked' AND {IN_TIME}"
)
"""The lease is raised: a transaction of the round before that comes late finds another one."""
COMPLETE = BEGIN_ROUND.replace(" WHERE", ", metadata = :metadata WHERE") + " AND state IN ('receiving', 'failed')"
RESTART = BEGIN_ROUND + " AND state = 'failed'"
KEEP_FORMER = (
    "INSERT INTO former_keys (upload_id, object_key) SELECT id, object_key FROM uploads "
    "WHERE id = :id AND object_key IS NOT NULL AND object_key <> :key "
    "AND NOT EXISTS (SELECT 1 FROM former_keys f WHERE f.upload_id = uploads.id AND f.object_key = uploads.object_key)"
)
FORGET_FORMER = "DELETE FROM former_keys WHERE upload_id = :id AND object_key = :key"
CHANGE_FILE = (
    "UPDATE chunked_files SET object_key = :key, path = :path, content_type = :content_type, credential = :credential, "
    "detail = :detail, total_chunks = :chunks, total_size = :size WHERE upload_id = :id"
)
ADD_FILE = (
    "INSERT INTO chunked_files (id, upload_id, object_key, path, content_type, credential, detail, total_chunks, total_size) "
    "VALUES (:file, :id, :key, :path, :content_type, :credential, :detail, :chunks, :size)"
)
UNDER_REVISION = " WHERE id = :id AND state = 'finalizing' AND lease = :lease AND revision = :revision"
PUBLISH_FILE = (
    "UPDATE uploads SET state = 'available', upload_offset = :size, upload_length = :size, multipart = NULL, "
    "lease_until = NULL, error = NULL, expires_at = NULL, finished_at = {now}" + UNDER_REVISION
)
FAIL_FILE = (
    "UPDATE uploads SET state = 'failed', lease_until = NULL, error = :error, ended_at = {now}, "
    "expires_at = {now} + :expires" + UNDER_REVISION
)
ADOPT = (
    "UPDATE uploads SET state = 'available', upload_offset = :size, upload_length = :size, finished_at = {now} "
    "WHERE id = :id AND state = 'receiving' AND role = 'chunked'"
)
FORMER_KEYS = "SELECT object_key FROM former_keys WHERE upload_id = :id ORDER BY object_key"
OUTLIVED = (
    "SELECT DISTINCT f.upload_id FROM former_keys f JOIN uploads u ON u.id = f.upload_id "
    "WHERE u.state = 'available' LIMIT :limit"
)


class ChunkingSql(EndingSql):
    """Implements ports.chunking.Chunking."""

    async def intend(self, name: str) -> None:
        """Insert an intent; a name is random, so one that is there already is this one's, from a lost answer."""
        with contextlib.suppress(IntegrityError):
            await self.db.write(lambda connection: self.run(connection, INTEND, name=name).rowcount)

    async def forsake(self, name: str) -> bool:
        """Delete an intent; a transaction that places its chunk just now is waited for."""
        return await self.db.write(lambda connection: self.run(connection, FORSAKE, name=name).rowcount == 1)

    async def place(self, upload_id: str, chunk: Chunk, expires_in: float | None) -> Chunk | None:
        """Count a chunk."""
        _require_shape(upload_id)

        def work(connection: Connection) -> Chunk | None:
            if self.run(connection, REVISE, id=upload_id, expires=milliseconds(expires_in)).rowcount != 1:
                raise NotFound
            seq = self.run(connection, INTENT, name=chunk.name).scalar()
            here = self.run(connection, CHUNK_AT, id=upload_id, position=chunk.index).first()
            if here is not None and here[1] == chunk.name:
                return None  # done before, and the answer was lost
            if seq is None or self.run(connection, FORSAKE, name=chunk.name).rowcount != 1:
                raise Fenced("The chunk took longer than a day.")
            if here is not None and here[3] > seq:
                return chunk
            statement = ADD_CHUNK if here is None else REPLACE_CHUNK
            self.run(connection, statement, **rows.chunk_values(upload_id, chunk, seq))
            replaced = None if here is None else rows.chunk(here)
            if self.charges:
                self.run(connection, RECEIVED, id=upload_id, size=chunk.size - (replaced.size if replaced else 0))
                self.resettle(connection, upload_id)
            return replaced

        return await self.write(work)

    async def chunks(self, upload_id: str) -> list[Chunk]:
        """Read chunks."""
        statement = rows.SELECT_CHUNKS + "ORDER BY position"
        return await self.db.read(
            lambda connection: [rows.chunk(row) for row in self.run(connection, statement, id=upload_id)]
        )

    async def complete(self, new: NewFile) -> File:
        """Begin a round, or find the one that there is."""
        upload_id = new.completion.upload_id
        _require_shape(upload_id)

        def work(connection: Connection) -> File:
            if self.run(connection, COMPLETE, id=upload_id, metadata=new.metadata).rowcount == 1:
                self._say(connection, new)
                if self.charges:
                    self.resettle(connection, upload_id)
            found = self._file(connection, "WHERE f.upload_id = :id", upload_id)
            if found is None:
                raise NotFound
            return found

        return await self.write(work)

    def _say(self, connection: Connection, new: NewFile) -> None:
        """Write down what a completion says."""
        values = rows.file_values(new)
        self.run(connection, KEEP_FORMER, id=new.completion.upload_id, key=new.key)
        self.run(connection, FORGET_FORMER, id=new.completion.upload_id, key=new.key)
        if self.run(connection, CHANGE_FILE, **values).rowcount == 0:
            self.run(connection, ADD_FILE, file=new.id, **values)
        self.send(connection, new.messages)

    def _file(self, connection: Connection, where: str, value: str) -> File | None:
        row = self.run(connection, rows.SELECT_FILE + where, id=value).first()
        return None if row is None or value not in {row[0], row[1]} else rows.file(row)

    async def file(self, file_id: str) -> File | None:
        """Read a file."""
        name = file_id.lower()
        if not name.isascii() or len(name) > MOST_ID:
            return None
        return await self.db.read(lambda connection: self._file(connection, "WHERE f.id = :id", name))

    async def file_of(self, upload_id: str) -> File | None:
        """Read the file of an upload."""
        return await self.db.read(lambda connection: self._file(connection, "WHERE f.upload_id = :id", upload_id))

    async def restart(self, upload_id: str, messages: Sequence[Message]) -> None:
        """Begin another round."""

        def work(connection: Connection) -> None:
            self.fence(connection, RESTART, id=upload_id)
            self.send(connection, messages)

        def seen(connection: Connection) -> bool:
            upload = self.upload(connection, upload_id)
            return upload is not None and upload.state in {State.FINALIZING, State.AVAILABLE}

        await self.db.write(work, seen)

    async def publish_file(self, upload: Upload, size: int, messages: Sequence[Message]) -> None:
        """Say that the object is there."""
        values = {"id": upload.id, "lease": upload.lease, "revision": upload.revision, "size": size}

        def work(connection: Connection) -> None:
            self.fence(connection, PUBLISH_FILE, **values)
            self.run(connection, FORGET_CHUNKS, id=upload.id)
            self.run(connection, FORGET_COMPOSED, id=upload.id)
            self.send(connection, messages)
            if upload.charged is not None:
                self.settle(connection, upload.id, quotas=NO_LIMITS)

        await self.write(work, lambda connection: self.stands(connection, upload.id, upload.lease, State.AVAILABLE))

    async def fail_file(self, upload: Upload, error: str, expires_in: float | None, messages: Sequence[Message]) -> None:
        """Give a round up."""
        values = {"id": upload.id, "lease": upload.lease, "revision": upload.revision, "error": error}

        def work(connection: Connection) -> None:
            self.fence(connection, FAIL_FILE, **values, expires=milliseconds(expires_in))
            self.send(connection, messages)

        await self.db.write(work, lambda connection: self.stands(connection, upload.id, upload.lease, State.FAILED))

    async def adopt(self, upload_id: str, size: int) -> None:
        """Say that the object was found."""
        await self.db.write(lambda connection: self.run(connection, ADOPT, id=upload_id, size=size).rowcount)

    async def known(self, name: str) -> bool:
        """Look in both tables."""
        return await self.db.read(lambda connection: self.run(connection, KNOWN, name=name).first() is not None)

    async def abandoned(self, limit: int) -> list[str]:
        """Find old intents."""
        return await self._ids(ABANDONED, limit=limit)

    async def abandon(self, name: str) -> bool:
        """Take an old intent away."""
        statement = f"{FORSAKE} AND {OLD}"
        return await self.db.write(lambda connection: self.run(connection, statement, name=name).rowcount == 1)

    async def former_keys(self, upload_id: str) -> list[str]:
        """Read former keys."""
        return await self._ids(FORMER_KEYS, id=upload_id)

    async def outlived(self, limit: int) -> list[str]:
        """Find those that can go."""
        return await self._ids(OUTLIVED, limit=limit)

    async def forget_keys(self, upload_id: str) -> None:
        """Forget them."""
        statement = "DELETE FROM former_keys WHERE upload_id = :id"
        await self.db.write(lambda connection: self.run(connection, statement, id=upload_id).rowcount)


def _require_shape(upload_id: str) -> None:
    """Refuse what was never given out before it reaches the database, whose collations find more than they should."""
    if not UPLOAD_SHAPE.fullmatch(upload_id):
        raise NotFound
