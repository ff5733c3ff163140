"""Transactions of finalization, deletion and concatenation; see ports.metadata.Ending for what each promises."""

import contextlib
import hashlib
from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError

from tusfm.adapters.databases import Connection
from tusfm.adapters.metadata_receiving import ReceivingSql
from tusfm.adapters.metadata_session import milliseconds
from tusfm.domain.errors import BadConcatenation, NotFound, OverQuota, TooLarge
from tusfm.domain.upload import MAX_SIZE, Role, State, Upload
from tusfm.ports.metadata import Message, NewUpload
from tusfm.ports.storage import Part

LEASE_MS = 30_000
HOUR_MS = 3_600_000
TAKE = (
    f"UPDATE uploads SET lease = lease + 1, attempts = attempts + 1, lease_until = {{now}} + {LEASE_MS} "
    "WHERE id = :id AND state = 'finalizing' AND (lease_until IS NULL OR lease_until < {now}) "
    "AND (retry_at IS NULL OR retry_at <= {now})"
)
UNDER_LEASE = " WHERE id = :id AND state = 'finalizing' AND lease = :lease"
RENEW = f"UPDATE uploads SET lease_until = {{now}} + {LEASE_MS}" + UNDER_LEASE
PUBLISH = (
    "UPDATE uploads SET state = 'available', object_key = :key, multipart = NULL, lease_until = NULL, error = NULL, "
    "finished_at = {now}" + UNDER_LEASE
)
FAIL = (
    "UPDATE uploads SET state = 'failed', lease_until = NULL, error = :error, ended_at = {now}, "
    "expires_at = {now} + :expires" + UNDER_LEASE
)
POSTPONE = "UPDATE uploads SET lease_until = NULL, retry_at = {now} + :pause, error = :error" + UNDER_LEASE
UNFINISHED = (
    "SELECT id FROM uploads WHERE state = 'finalizing' AND (lease_until IS NULL OR lease_until < {now}) "
    "AND (retry_at IS NULL OR retry_at <= {now}) ORDER BY retry_at LIMIT :limit"
)
COMPOSING = "UPDATE uploads SET object_key = :key, multipart = :multipart" + UNDER_LEASE
HOLDS_LEASE = "UPDATE uploads SET lease = lease" + UNDER_LEASE
FORGET_COMPOSED = "DELETE FROM composed_parts WHERE upload_id = :id"
ADD_COMPOSED = "INSERT INTO composed_parts (upload_id, number, etag) VALUES (:id, :number, :etag)"
COMPOSED = "SELECT number, etag FROM composed_parts WHERE upload_id = :id ORDER BY number"
FORGET_EXTENTS = "DELETE FROM extents WHERE upload_id = :id"
END = (
    "UPDATE uploads SET state = :state, epoch = epoch + 1, lease = lease + 1, lease_until = NULL, writer = NULL, "
    "ended_at = {now} WHERE id = :id"
)
TERMINATE = END + " AND state IN ('receiving', 'finalizing', 'available', 'failed')"
TERMINATE_UNFINISHED = END + " AND state = 'receiving'"
IS_TERMINATED = "SELECT id FROM uploads WHERE id = :id AND state = 'terminated'"
OVERDUE = (
    " AND (state IN ('receiving', 'failed') AND expires_at < {now} "
    "OR state = 'available' AND role = 'partial' AND expires_at < {now} AND NOT EXISTS ("
    "SELECT 1 FROM (SELECT DISTINCT f.id FROM partials p JOIN uploads f ON f.id = p.final_id "
    "WHERE p.partial_id = :id AND f.state IN ('receiving', 'finalizing', 'available')) AS used))"
)
"""A table of its own for the finals, which DISTINCT keeps apart: MySQL changes no table that it reads in a subquery."""
STRIP = "UPDATE uploads SET metadata = '', concat = NULL, list_digest = NULL WHERE id = :id"
FINALS_OF = "SELECT DISTINCT final_id FROM partials WHERE partial_id = :id ORDER BY final_id"
FAIL_FINAL = (
    "UPDATE uploads SET state = 'failed', epoch = epoch + 1, lease = lease + 1, lease_until = NULL, ended_at = {now}, "
    "expires_at = {now}, error = 'A partial upload is gone.' WHERE id = :id AND state IN ('receiving', 'finalizing')"
)
"""One final at a time: with a subquery MySQL would look at, and lock, every upload that is receiving."""
FINALS = (
    "SELECT DISTINCT f.id FROM partials p JOIN uploads f ON f.id = p.final_id "
    "WHERE p.partial_id = :id AND f.state = 'receiving'"
)
LOCK_PARTIALS = (
    "SELECT id, state, role, upload_offset, upload_length, expires_at < {now}, owner FROM uploads "
    "WHERE id IN (SELECT partial_id FROM partials WHERE final_id = :id) ORDER BY id {for_update}"
)
PARTIAL_OF = "SELECT partial_id FROM partials WHERE final_id = :id ORDER BY position"
ADD_PARTIAL = "INSERT INTO partials (final_id, position, partial_id) VALUES (:final, :position, :partial)"
SAME_LIST = (
    "SELECT id FROM uploads WHERE list_digest = :digest AND id <> :id "
    "AND state IN ('receiving', 'finalizing', 'available') LIMIT 1"
)
SIZE_LIMIT = "SELECT size_limit FROM uploads WHERE id = :id"
SET_LENGTH = "UPDATE uploads SET upload_length = :length WHERE id = :id"
RIPEN = (
    "UPDATE uploads SET state = :state, upload_length = :length, upload_offset = :offset, epoch = epoch + 1, "
    "expires_at = NULL, error = :error WHERE id = :id AND state = 'receiving' AND role = 'final'"
)
RIPE = (
    "SELECT f.id FROM uploads f WHERE f.state = 'receiving' AND f.role = 'final' AND NOT EXISTS ("
    "SELECT 1 FROM partials p JOIN uploads u ON u.id = p.partial_id WHERE p.final_id = f.id AND u.state <> 'available') "
    "LIMIT :limit"
)
FREE_CONDITION = (
    "state = 'available' AND role = 'partial' AND EXISTS ("
    "SELECT 1 FROM partials p JOIN uploads f ON f.id = p.final_id "
    "WHERE p.partial_id = uploads.id AND f.state = 'available') AND NOT EXISTS ("
    "SELECT 1 FROM partials p JOIN uploads f ON f.id = p.final_id WHERE p.partial_id = uploads.id "
    f"AND (f.state IN ('receiving', 'finalizing') OR f.state = 'available' AND f.finished_at > {{now}} - {HOUR_MS}))"
)
FREEABLE = f"SELECT id FROM uploads WHERE {FREE_CONDITION} LIMIT :limit"
LOCK = "SELECT id FROM uploads WHERE id = :id {for_update}"
IS_FREEABLE = f"SELECT id FROM uploads WHERE id = :id AND {FREE_CONDITION}"


class EndingSql(ReceivingSql):
    """Implements ports.metadata.Ending."""

    async def take(self, upload_id: str) -> Upload | None:
        """Take the lease."""

        def work(connection: Connection) -> Upload | None:
            if self.run(connection, TAKE, id=upload_id).rowcount != 1:
                return None
            return self.upload(connection, upload_id)

        return await self.db.write(work)

    async def renew(self, upload_id: str, lease: int) -> None:
        """Hold it longer."""
        await self.db.write(lambda connection: self.fence(connection, RENEW, id=upload_id, lease=lease))

    async def publish(self, upload_id: str, lease: int, object_key: str, messages: Sequence[Message]) -> None:
        """Say that the object is there; the extents have served."""

        def work(connection: Connection) -> None:
            self.fence(connection, PUBLISH, id=upload_id, lease=lease, key=object_key)
            self.run(connection, FORGET_EXTENTS, id=upload_id)
            self.run(connection, FORGET_COMPOSED, id=upload_id)
            self.send(connection, messages)

        await self.db.write(work, lambda connection: self.stands(connection, upload_id, lease, State.AVAILABLE))

    def stands(self, connection: Connection, upload_id: str, lease: int, state: State) -> bool:
        """Tell whether the holder of this lease has brought the upload to the state: its answer may have been lost."""
        upload = self.upload(connection, upload_id)
        return upload is not None and upload.lease == lease and upload.state is state

    async def fail(
        self, upload_id: str, lease: int, error: str, expires_in: float | None, messages: Sequence[Message]
    ) -> None:
        """Give up."""

        def work(connection: Connection) -> None:
            self.fence(connection, FAIL, id=upload_id, lease=lease, error=error, expires=milliseconds(expires_in))
            self.send(connection, messages)
            self.resettle(connection, upload_id)

        await self.write(work, lambda connection: self.stands(connection, upload_id, lease, State.FAILED))

    async def postpone(self, upload_id: str, lease: int, error: str, pause: float) -> None:
        """Stand still for a while."""
        values = {"id": upload_id, "lease": lease, "error": error, "pause": milliseconds(pause)}
        await self.db.write(lambda connection: self.fence(connection, POSTPONE, **values))

    async def unfinished(self, limit: int) -> list[str]:
        """Find work."""
        return await self._ids(UNFINISHED, limit=limit)

    async def _ids(self, statement: str, **values: object) -> list[str]:
        return await self.db.read(lambda connection: [row[0] for row in self.run(connection, statement, **values)])

    async def composing(self, upload_id: str, lease: int, key: str, multipart: str) -> None:
        """Record the multipart upload of a composition."""

        def work(connection: Connection) -> None:
            self.fence(connection, COMPOSING, id=upload_id, lease=lease, key=key, multipart=multipart)
            self.run(connection, FORGET_COMPOSED, id=upload_id)

        await self.db.write(work)

    async def composed(self, upload_id: str, lease: int, part: Part) -> None:
        """Record one part of it; under the lease, one that is recorded already is this very call's, from a lost answer."""

        def work(connection: Connection) -> None:
            self.fence(connection, HOLDS_LEASE, id=upload_id, lease=lease)
            self.run(connection, ADD_COMPOSED, id=upload_id, number=part.number, etag=part.etag)

        with contextlib.suppress(IntegrityError):
            await self.db.write(work)

    async def parts_composed(self, upload_id: str, lease: int) -> list[Part]:
        """Read them."""

        def work(connection: Connection) -> list[Part]:
            self.fence(connection, HOLDS_LEASE, id=upload_id, lease=lease)
            return [Part(row[0], row[1]) for row in self.run(connection, COMPOSED, id=upload_id)]

        return await self.db.write(work)

    async def settled(self, upload_ids: Sequence[str]) -> set[str]:
        """Find those that nobody finishes any more."""
        names = {f"id{index}": upload_id for index, upload_id in enumerate(upload_ids)}
        marks = ", ".join(f":{name}" for name in names) or "NULL"
        statement = f"SELECT id FROM uploads WHERE state = 'finalizing' AND id IN ({marks})"
        return set(upload_ids) - set(await self._ids(statement, **names))

    async def terminate(self, upload_id: str, message: Message | None, *, finished: bool = True) -> Upload | None:
        """End an upload for good."""
        return await self._end(upload_id, TERMINATE if finished else TERMINATE_UNFINISHED, State.TERMINATED, message)

    async def expire(self, upload_id: str, message: Message | None) -> Upload | None:
        """End one whose time has passed."""
        return await self._end(upload_id, END + OVERDUE, State.EXPIRED, message)

    async def _end(self, upload_id: str, statement: str, state: State, message: Message | None) -> Upload | None:
        def work(connection: Connection) -> Upload | None:
            if self.run(connection, statement, id=upload_id, state=state.value).rowcount != 1:
                return None
            for (final_id,) in self.run(connection, FINALS_OF, id=upload_id).all():
                self.run(connection, FAIL_FINAL, id=final_id)
            self.send(connection, [message])
            upload = self.upload(connection, upload_id)
            self.run(connection, STRIP, id=upload_id)
            if upload is not None and upload.charged is not None:
                self.settle_end(connection, upload_id)
            return upload

        return await self.write(work)

    async def discard(self, upload_id: str) -> None:
        """Take a creation back; this may arrive twice, and its INSERT in between."""

        def work(connection: Connection) -> None:
            if self.run(connection, IS_TERMINATED, id=upload_id).first() is not None:
                self.erase(connection, upload_id)

        await self.db.write(work)

    def erase(self, connection: Connection, upload_id: str) -> None:
        """Delete an upload's rows."""
        for statement in (
            FORGET_EXTENTS,
            FORGET_COMPOSED,
            "DELETE FROM partials WHERE final_id = :id",
            "DELETE FROM chunks WHERE upload_id = :id",
            "DELETE FROM chunked_files WHERE upload_id = :id",
            "DELETE FROM former_keys WHERE upload_id = :id",
            "DELETE FROM uploads WHERE id = :id",
        ):
            self.run(connection, statement, id=upload_id)

    async def concatenate(self, new: NewUpload, partials: Sequence[str], limit: int | None) -> Upload:
        """Create a final, or find the one that the same list made."""
        digest = hashlib.sha256("\n".join([*partials, new.metadata]).encode()).hexdigest()

        def work(connection: Connection) -> Upload:
            self._insert_final(connection, new, partials, digest)
            length = self._judge_partials(connection, new, partials, limit)
            same = self.run(connection, SAME_LIST, digest=digest, id=new.id).scalar()
            if same is not None:
                raise _Same(same)
            self.run(connection, SET_LENGTH, id=new.id, length=length)
            self.send(connection, new.messages)
            if self.charges:
                self.settle(connection, new.id, made=1)
            return self._read_back(connection, new.id)

        try:
            return await self.write(work)
        except _Same as same:
            found = same.upload_id
        except IntegrityError:  # an id is random, so the row is this one's, from a lost answer
            found = new.id
        return await self.db.read(lambda connection: self._read_back(connection, found))

    def _insert_final(self, connection: Connection, new: NewUpload, partials: Sequence[str], digest: str) -> None:
        self.insert(connection, new, digest)
        for position, partial in enumerate(partials):
            self.run(connection, ADD_PARTIAL, final=new.id, position=position, partial=partial)

    def _judge_partials(
        self,
        connection: Connection,
        new: NewUpload,
        partials: Sequence[str],
        limit: int | None,
    ) -> int | None:
        """Lock the partials' rows and look at them; returns the sum of their lengths once all are known."""
        found = {row[0]: row for row in self.run(connection, LOCK_PARTIALS, id=new.id)}
        for partial in partials:
            _, state, role, _, _, overdue, owner = found.get(partial, (None,) * 7)
            if new.owner is not None and owner != new.owner:
                raise NotFound("A partial upload is not there, or not any more.")
            if state not in {State.RECEIVING, State.AVAILABLE, State.FINALIZING}:
                raise NotFound("A partial upload is not there, or not any more.")
            if overdue and state == State.RECEIVING:
                raise NotFound("A partial upload has expired.")
            if role != Role.PARTIAL:
                raise BadConcatenation("A final upload can only be made of partial uploads.")
        known = [found[partial][4] if found[partial][4] is not None else found[partial][3] for partial in partials]
        most = MAX_SIZE if limit is None else limit
        if sum(known) > most:
            msg = f"An upload may have {most} bytes at most."
            raise TooLarge(msg)
        return sum(known) if all(found[partial][4] is not None for partial in partials) else None

    async def partials(self, final_id: str) -> list[Upload]:
        """Read a final's partials in order."""

        def work(connection: Connection) -> list[Upload]:
            where = "WHERE u.id IN (SELECT partial_id FROM partials WHERE final_id = :id)"
            found = {one.id: one for one in self.uploads(connection, where, id=final_id)}
            order = [row[0] for row in self.run(connection, PARTIAL_OF, id=final_id)]
            return [found[one] for one in order if one in found]

        return await self.db.read(work)

    async def finals(self, partial_id: str) -> list[str]:
        """Find the finals that wait for a partial."""
        return await self._ids(FINALS, id=partial_id)

    async def ripe(self, limit: int) -> list[str]:
        """Find finals that wait for nothing."""
        return await self._ids(RIPE, limit=limit)

    async def ripen(self, final_id: str, limit: int | None, messages: Sequence[Message]) -> bool:
        """Let a final be finished."""

        def work(connection: Connection) -> bool:
            found = {row[0]: row for row in self.run(connection, LOCK_PARTIALS, id=final_id)}
            order = [row[0] for row in self.run(connection, PARTIAL_OF, id=final_id)]
            if any(one not in found or found[one][1] != State.AVAILABLE for one in order):
                return False
            size = sum(found[one][3] for one in order)
            most = self._least(limit, self.run(connection, SIZE_LIMIT, id=final_id).scalar())
            if most is not None and size > most:
                self._fail_final(connection, final_id, f"Its partial uploads have {size} bytes, over the maximum of {most}.")
                return False
            state = State.FINALIZING.value
            if self.run(connection, RIPEN, id=final_id, state=state, length=size, offset=size, error=None).rowcount != 1:
                return False
            self.resettle(connection, final_id)
            self.send(connection, messages)
            return True

        try:
            return await self.write(work)
        except OverQuota as error:
            sentence = str(error)
        await self.write(lambda connection: self._fail_final(connection, final_id, sentence))
        return False

    def _least(self, *limits: int | None) -> int | None:
        return min((limit for limit in limits if limit is not None), default=None)

    def _fail_final(self, connection: Connection, final_id: str, error: str) -> None:
        """End a final that is too large, once its sum is known."""
        self.run(connection, RIPEN, id=final_id, state=State.FAILED.value, length=None, offset=0, error=error)
        self.resettle(connection, final_id)

    async def freeable(self, limit: int) -> list[str]:
        """Find partials that have served."""
        return await self._ids(FREEABLE, limit=limit)

    async def free(self, partial_id: str) -> Upload | None:
        """End a partial that has served; its row is locked first, for a new final may be naming it."""

        def work(connection: Connection) -> Upload | None:
            self.run(connection, LOCK, id=partial_id)
            if self.run(connection, IS_FREEABLE, id=partial_id).first() is None:
                return None
            upload = self.upload(connection, partial_id)
            self.run(connection, TERMINATE, id=partial_id, state=State.TERMINATED.value)
            self.run(connection, STRIP, id=partial_id)
            if upload is not None and upload.charged is not None:
                self.settle_end(connection, partial_id)
            return upload

        return await self.write(work)


class _Same(Exception):
    """The list made a final before; the transaction is rolled back."""

    def __init__(self, upload_id: str) -> None:
        super().__init__()
        self.upload_id = upload_id
