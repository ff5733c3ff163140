"""Transactions on the path of an upload; see ports.metadata.Receiving for what each promises."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.exc import IntegrityError

from tusfm.adapters.databases import Connection
from tusfm.adapters.metadata_accounts import AccountsSql
from tusfm.adapters.metadata_session import DAY_MS, FENCED, milliseconds
from tusfm.domain.errors import Fenced
from tusfm.domain.upload import Extent, ExtentKind, State, Upload
from tusfm.ports.metadata import Claim, Commit, Heard, Message, NewUpload

IN_TIME = "(expires_at IS NULL OR expires_at > {now})"
CREATE = (
    "INSERT INTO uploads (id, state, role, epoch, upload_offset, upload_length, metadata, concat, next_part, writer, "
    "answers, wanted, lease, attempts, created_at, expires_at, list_digest, owner, size_limit, lifetime) "
    "VALUES (:id, 'receiving', :role, :epoch, 0, :length, :metadata, :concat, 1, :writer, :answers, 0, 0, 0, "
    "{now}, {now} + :expires, :list_digest, :owner, :size_limit, :lifetime)"
)
CLAIM = (
    "UPDATE uploads SET epoch = epoch + 1, writer = :writer, answers = :answers, wanted = 0, "
    "upload_length = COALESCE(upload_length, :length), expires_at = {now} + COALESCE(lifetime, :expires) "
    "WHERE id = :id AND state = 'receiving' AND role <> 'final' AND upload_offset = :offset "
    f"AND {IN_TIME} "
    "AND (upload_length IS NULL OR upload_length >= :reached) "
    "AND (upload_length IS NOT NULL OR :limit IS NULL OR :limit >= :reached) "
    "AND (upload_length IS NOT NULL OR size_limit IS NULL OR size_limit >= :reached) "
    "AND (:length IS NULL OR size_limit IS NULL OR size_limit >= :length) "
    "AND (:length IS NULL OR (:length > :offset AND (upload_length IS NULL OR upload_length = :length)))"
)
COMMIT = (
    "UPDATE uploads SET upload_offset = :reached, expires_at = {now} + :expires, wanted = 0, "
    "next_part = next_part + :reserve, upload_length = COALESCE(upload_length, :length), epoch = epoch + :raised "
    "WHERE id = :id AND epoch = :epoch AND upload_offset = :offset AND state = 'receiving' "
    "AND (:length IS NULL OR upload_length IS NULL OR upload_length = :length) "
    f"AND {IN_TIME}"
)
COMMIT_AND_RELEASE = COMMIT.replace(" WHERE", ", writer = NULL WHERE")
COMMIT_AND_END = COMMIT.replace(
    " WHERE",
    ", writer = NULL, state = :state, object_key = COALESCE(:key, object_key), "
    "finished_at = CASE WHEN :state = 'available' THEN {now} END WHERE",
)
UNDER_EPOCH = " WHERE id = :id AND epoch = :epoch AND state = 'receiving'"
RESERVE = "UPDATE uploads SET next_part = next_part + :count" + UNDER_EPOCH
NEXT_PART = "SELECT next_part FROM uploads WHERE id = :id"
BEGIN_MULTIPART = (
    "UPDATE uploads SET multipart = :multipart, multipart_at = {now}, object_key = :key, next_part = next_part + :reserve"
    + UNDER_EPOCH
    + " AND (multipart IS NULL OR multipart = :multipart)"
)
TURN = "UPDATE uploads SET multipart = NULL, next_part = 1" + UNDER_EPOCH + " AND multipart = :multipart"
FORGET_PARTS = "DELETE FROM extents WHERE upload_id = :id AND kind = 'part'"
SEIZE = "UPDATE uploads SET epoch = epoch + 1, writer = NULL" + UNDER_EPOCH
WORN = (
    "WHERE u.state = 'receiving' AND u.multipart_at < {now} - :age AND u.multipart IS NOT NULL "
    "ORDER BY u.multipart_at LIMIT :limit"
)
RELEASE = "UPDATE uploads SET writer = NULL, wanted = 0 WHERE id = :id AND epoch = :epoch"
TOUCH = "UPDATE uploads SET expires_at = {now} + COALESCE(lifetime, :expires) WHERE writer = :process AND expires_at > {now}"
LOSE = "UPDATE uploads SET state = 'failed', epoch = epoch + 1, writer = NULL, error = :error, ended_at = {now}" + UNDER_EPOCH
ASK = "UPDATE uploads SET wanted = 1 WHERE id = :id AND state = 'receiving' AND writer IS NOT NULL AND answers = 1"
HEARD = "SELECT id, epoch, state, wanted FROM uploads WHERE writer = :process"
BEAT = "UPDATE processes SET beat = {now} WHERE id = :process"
FIRST_BEAT = "INSERT INTO processes (id, beat) VALUES (:process, {now})"
FORGET_DEAD = f"DELETE FROM processes WHERE beat < {{now}} - {DAY_MS}"
"""One that was only frozen finds its row gone, and makes it anew."""
OPEN_ENDED = (ExtentKind.TAIL, ExtentKind.SEGMENT)


def _as_created(new: NewUpload) -> Upload:
    """Return the row as it was inserted, without reading it back; its times are for showing, by this process's clock."""
    now = int(time.time() * 1000)
    lifetime = milliseconds(new.expires_in)
    return Upload(
        id=new.id,
        state=State.RECEIVING,
        role=new.role,
        epoch=0 if new.writer is None else 1,
        offset=0,
        length=new.length,
        metadata=new.metadata,
        concat=new.concat,
        object_key=None,
        multipart=None,
        multipart_at=None,
        next_part=1,
        writer=new.writer,
        writer_alive=False,
        wanted=False,
        lease=0,
        attempts=0,
        error=None,
        created_at=now,
        expires_at=None if lifetime is None else now + lifetime,
        finished_at=None,
        seen_at=now,
        owner=new.owner,
        size_limit=new.size_limit,
        lifetime=new.lifetime,
    )


class ReceivingSql(AccountsSql):
    """Implements ports.metadata.Receiving."""

    async def create(self, new: NewUpload) -> Upload:
        """Insert the row; an id is random, so a row that is there already is this one's, from a lost answer."""

        def work(connection: Connection) -> int | None:
            self.insert(connection, new)
            self.send(connection, new.messages)
            return self.settle(connection, new.id, made=1) if self.charges else None

        charged = 0 if self.charges else None
        with contextlib.suppress(IntegrityError):
            charged = await self.write(work)
        return replace(_as_created(new), charged=charged)

    def insert(self, connection: Connection, new: NewUpload, list_digest: str | None = None) -> None:
        """Insert a row of `uploads`."""
        self.post(
            connection,
            CREATE,
            id=new.id,
            role=new.role.value,
            epoch=0 if new.writer is None else 1,
            length=new.length,
            metadata=new.metadata,
            concat=new.concat,
            writer=new.writer,
            answers=int(new.answers),
            expires=milliseconds(new.expires_in),
            list_digest=list_digest,
            owner=new.owner,
            size_limit=new.size_limit,
            lifetime=milliseconds(new.lifetime),
        )

    def _read_back(self, connection: Connection, upload_id: str) -> Upload:
        upload = self.upload(connection, upload_id)
        assert upload is not None
        return upload

    async def find(self, upload_id: str) -> Upload | None:
        """Read the row."""
        return await self.db.read(lambda connection: self.upload(connection, upload_id))

    async def extents(self, upload_id: str, *kinds: ExtentKind) -> list[Extent]:
        """Read extents."""
        return await self.db.read(lambda connection: self.extents_of(connection, upload_id, kinds))

    async def claim(self, claim: Claim) -> tuple[Upload, list[Extent]] | None:
        """Raise the epoch, where everything is as the claim needs it."""

        def work(connection: Connection) -> tuple[Upload, list[Extent]] | None:
            claimed = self.run(
                connection,
                CLAIM,
                id=claim.id,
                offset=claim.offset,
                reached=claim.offset + (claim.size or 0),
                length=claim.length,
                limit=claim.limit,
                writer=claim.writer,
                answers=int(claim.answers),
                expires=milliseconds(claim.expires_in),
            )
            if claimed.rowcount != 1:
                return None
            upload = self._read_back(connection, claim.id)
            if upload.charged is not None and (upload.length is None or claim.length is not None):
                self.settle(connection, claim.id, reached=claim.offset + (claim.size or 0))
            return upload, self.extents_of(connection, claim.id, OPEN_ENDED) if upload.offset else []

        return await self.write(work)

    async def reserve(self, upload_id: str, epoch: int, count: int) -> int:
        """Take part numbers."""

        def work(connection: Connection) -> int:
            self.fence(connection, RESERVE, id=upload_id, epoch=epoch, count=count)
            return int(self.run(connection, NEXT_PART, id=upload_id).scalar_one()) - count

        return await self.db.write(work)

    async def begin_multipart(self, upload_id: str, epoch: int, key: str, multipart: str, reserve: int) -> int:
        """Record a multipart upload; one that is recorded already by this very call counts."""

        def work(connection: Connection) -> int:
            values = {"id": upload_id, "epoch": epoch, "key": key, "multipart": multipart, "reserve": reserve}
            self.fence(connection, BEGIN_MULTIPART, **values)
            return int(self.run(connection, NEXT_PART, id=upload_id).scalar_one()) - reserve

        return await self.db.write(work)

    async def turn(self, upload_id: str, epoch: int, multipart: str, piece: Extent | None) -> None:
        """Replace parts by their piece."""

        def work(connection: Connection) -> None:
            self.fence(connection, TURN, id=upload_id, epoch=epoch, multipart=multipart)
            self.run(connection, FORGET_PARTS, id=upload_id)
            if piece is not None:  # one of length 0 may be there, of a request whose checksum was wrong
                self.remove_extents(connection, upload_id, [(piece.kind, piece.start)])
                self.change_extents(connection, upload_id, [piece], [])

        await self.db.write(work, lambda connection: self._turned(connection, upload_id, epoch))

    def _turned(self, connection: Connection, upload_id: str, epoch: int) -> bool:
        upload = self.upload(connection, upload_id)
        return upload is not None and upload.epoch == epoch and upload.multipart is None

    async def worn(self, age: float, limit: int) -> list[Upload]:
        """Find old multipart uploads that nobody writes to."""
        values = {"age": milliseconds(age), "limit": limit}
        found = await self.db.read(lambda connection: self.uploads(connection, WORN, **values))
        return [upload for upload in found if not (upload.writer and upload.writer_alive)]

    async def seize(self, upload_id: str, epoch: int) -> None:
        """Raise the epoch."""
        await self.db.write(lambda connection: self.fence(connection, SEIZE, id=upload_id, epoch=epoch))

    async def commit(self, commit: Commit) -> None:
        """Move the offset."""
        raised = int(commit.seizes or commit.state is not None)
        statement = COMMIT_AND_END if commit.state else COMMIT_AND_RELEASE if commit.releases else COMMIT
        values: dict[str, object] = {
            "id": commit.id,
            "epoch": commit.epoch,
            "offset": commit.offset,
            "reached": commit.reached,
            "length": commit.length,
            "reserve": commit.reserve,
            "raised": raised,
            "expires": milliseconds(commit.expires_in),
        }
        if commit.state:
            values |= {"state": commit.state.value, "key": commit.object_key}

        def work(connection: Connection) -> None:
            self.fence(connection, statement, **values)
            self.change_extents(connection, commit.id, commit.add, commit.remove)
            self.send(connection, commit.messages)
            if commit.settles:
                self.settle(connection, commit.id)

        try:
            await self.write(work, lambda connection: self._committed(connection, commit, raised))
        except IntegrityError as error:  # its extents are there, for its answer was lost; its offset did not move
            if not set(commit.add) <= set(await self.extents(commit.id)):
                raise Fenced(FENCED) from error

    def _committed(self, connection: Connection, commit: Commit, raised: int) -> bool:
        upload = self.upload(connection, commit.id)
        if upload is None or upload.epoch != commit.epoch + raised:
            return False
        return upload.offset == commit.reached and (commit.reached != commit.offset or upload.state is not State.RECEIVING)

    async def release(self, upload_id: str, epoch: int) -> None:
        """Say that the writer is gone."""
        await self.db.write(lambda connection: self.run(connection, RELEASE, id=upload_id, epoch=epoch).rowcount)

    async def touch(self, process: str, expires_in: float | None) -> None:
        """Put expiry off."""
        expires = milliseconds(expires_in)
        await self.db.write(lambda connection: self.run(connection, TOUCH, process=process, expires=expires).rowcount)

    async def lose(self, upload_id: str, epoch: int, error: str, messages: Sequence[Message]) -> None:
        """Give an upload up."""

        def work(connection: Connection) -> None:
            self.fence(connection, LOSE, id=upload_id, epoch=epoch, error=error)
            self.send(connection, messages)
            self.resettle(connection, upload_id)

        await self.write(work)

    async def ask(self, upload_id: str) -> bool:
        """Ask for a checkpoint."""
        return await self.db.write(lambda connection: self.run(connection, ASK, id=upload_id).rowcount == 1)

    async def heard(self, process: str) -> list[Heard]:
        """Listen."""

        def work(connection: Connection) -> list[Heard]:
            found = self.run(connection, HEARD, process=process)
            return [Heard(row[0], row[1], State(row[2]), bool(row[3])) for row in found]

        return await self.db.read(work)

    async def beat(self, process: str) -> None:
        """Renew the heartbeat."""

        def work(connection: Connection) -> bool:
            if self.run(connection, BEAT, process=process).rowcount:
                return False
            self.run(connection, FIRST_BEAT, process=process)
            return True

        if await self.db.write(work):
            await self.db.write(lambda connection: self.run(connection, FORGET_DEAD))
