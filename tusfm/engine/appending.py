"""Taking the bytes of one request into an upload, whole in one step or as they come."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tusfm.domain.errors import (
    BodyBroken,
    BytesLost,
    ChecksumMismatch,
    Fenced,
    FinalUpload,
    LengthConflict,
    NotFound,
    OffsetConflict,
    OverQuota,
    Refused,
    TooLarge,
    Unavailable,
)
from tusfm.domain.upload import MAX_SIZE, Extent, Role, State, Upload
from tusfm.engine.body import Body, opening
from tusfm.engine.budget import Loan
from tusfm.engine.checksums import Checksum, Verifier
from tusfm.engine.events import Event, event
from tusfm.engine.outbox import Outbox
from tusfm.engine.presence import Presence
from tusfm.engine.receiving import Limits, Receiver
from tusfm.engine.recent import Recent
from tusfm.engine.rules import Rules
from tusfm.engine.writing import Change, Layout, Position
from tusfm.ports.metadata import Claim, Metadata

PROMPT_SECONDS = 0.05  # a small body that is not whole by then is received like a large one

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """A PATCH: bytes for one upload from *offset* on, and perhaps the length that was deferred."""

    id: str
    offset: int
    length: int | None = None
    checksum: Checksum | None = None
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where an upload stands after a request; *expires_at* in ms since 1970, None once it is whole."""

    id: str
    offset: int
    length: int | None
    expires_at: int | None


async def prompt(body: Body, most: int, loan: Loan) -> bool:
    """Read a body that comes at once, and tell whether it was all of it.

    Stop at *most* bytes, when it keeps us waiting, or when memory is short.
    One that breaks off is not whole; whoever reads on is told so.
    """
    if body.size is not None and body.size > most:
        return False
    with contextlib.suppress(TimeoutError, BodyBroken):
        async with asyncio.timeout(PROMPT_SECONDS):
            while loan.size <= most and not loan.refused:
                piece = await body.read()
                if not piece:
                    return True
                loan.take(piece)
    return False


async def verify(checksum: Checksum | None, pieces: Sequence[bytes]) -> None:
    """Hold a whole body against its checksum, if it has one. ChecksumMismatch."""
    if checksum is not None:
        verifier = Verifier(checksum)
        await verifier.take(pieces)
        verifier.check()


async def live(metadata: Metadata, upload_id: str) -> Upload:
    """Read the row of an upload that a client may see. NotFound."""
    upload = await metadata.find(upload_id)
    if upload is None or upload.gone:
        raise NotFound
    return upload


class Appender:
    """Moves offsets."""

    def __init__(self, metadata: Metadata, layout: Layout, presence: Presence, outbox: Outbox, rules: Rules) -> None:
        """Take the ports and the parts of the engine that work beside requests."""
        self._metadata = metadata
        self._layout = layout
        self._presence = presence
        self._outbox = outbox
        self._rules = rules
        self._recent = Recent()

    async def append(self, append: Append) -> Progress:
        """Take the bytes of a PATCH.

        NotFound, OffsetConflict, LengthConflict, TooLarge, FinalUpload before anything is read; ChecksumMismatch; Fenced,
        BodyBroken and Draining when it ended early: what had arrived counts.
        """
        size = append.body.size
        loan = Loan(self._layout.budget)
        with self._presence.arriving(append.id), contextlib.closing(loan):
            if size is not None and size <= self._layout.small:
                return await self._append_small(append, loan)
            return await self._append_claimed(append, loan)

    async def _append_small(self, append: Append, loan: Loan) -> Progress:
        recent = self._recent.take(append.id, append.offset) if append.body.size else None
        try:
            return await self._append_to(recent or await live(self._metadata, append.id), append, loan)
        except (Refused, ChecksumMismatch):
            if recent is not None:
                await self._judged(append)  # another process may have deleted it
            raise

    async def _append_to(self, upload: Upload, append: Append, loan: Loan) -> Progress:
        """Take a small body if it comes at once; the row may be a recent one."""
        self._judge(upload, append)
        free = upload.writer is None
        if not append.body.size and append.length in (None, upload.length) and free:
            await verify(append.checksum, [])
            return self.progress(upload)
        whole = await prompt(append.body, self._layout.small, loan)
        if whole and loan.size and free:
            await verify(append.checksum, loan.pieces)
            progress = await self.place(upload, loan.pieces, declared=append.length)
            if progress:
                return progress
        return await self._append_claimed(append, loan)

    async def place(self, upload: Upload, pieces: Sequence[bytes], *, declared: int | None = None) -> Progress | None:
        """Take a small whole body in one transaction; None when that needs a claim, or somebody else was quicker."""
        total = upload.length if declared is None else declared
        position = Position(upload, self._metadata, self._rules.lifetime(upload.lifetime))
        try:
            placement = await self._layout.place(upload, pieces, total)
        except (Fenced, BytesLost):  # whoever deletes or finishes an upload takes its bytes away
            return None
        if placement is None:
            return None
        try:
            await position.commit(replace(placement.change, length=declared))
            placement.counted(position)
            self._remember(upload, placement.change, total)
        except Fenced:
            await self._layout.discard(placement.keys)
            return None
        except OverQuota:
            await self._layout.discard(placement.keys)
            raise
        finally:
            if placement.done:
                await placement.done()
        return self._reached(position, total)

    def _remember(self, upload: Upload, change: Change, total: int | None) -> None:
        """Keep the row as the commit of a placement left it, where no more of it has changed."""
        if change.state is None and not change.reserve:
            self.remember(replace(upload, offset=change.reached, epoch=upload.epoch + 1, length=total))

    def remember(self, upload: Upload) -> None:
        """Spare the PATCH that follows at once the reading of a row that this process has just written."""
        self._recent.put(upload)

    def forget(self, upload_id: str) -> None:
        """Forget the row of an upload that has ended: the next request reads it."""
        self._recent.forget(upload_id)

    def _judge(self, upload: Upload, append: Append) -> None:
        """Hold the request against the row; the claim or the commit decides again."""
        if upload.role is Role.FINAL:
            msg = "The bytes of a final upload are those of its partial uploads."
            raise FinalUpload(msg)
        if upload.offset != append.offset:
            raise OffsetConflict(upload.offset)
        self._judge_length(upload, append.length)
        most = self._most(upload, append.length)
        if upload.offset + (append.body.size or 0) > (MAX_SIZE if most is None else most):
            msg = f"The body goes beyond the {most} bytes that the upload may have."
            raise TooLarge(msg)

    async def _judged(self, append: Append) -> Upload:
        """Read the row, and hold the request against it."""
        upload = await live(self._metadata, append.id)
        self._judge(upload, append)
        return upload

    def _judge_length(self, upload: Upload, declared: int | None) -> None:
        """A deferred length is set once, and not below what is there (rules D1 to D5)."""
        if declared is None:
            return
        if upload.length is not None and upload.length != declared:
            msg = f"The upload's length is {upload.length} already."
            raise LengthConflict(msg)
        if declared < upload.offset:
            msg = f"The length lies below the {upload.offset} bytes that are there."
            raise LengthConflict(msg)
        if upload.size_limit is not None and declared > upload.size_limit:
            msg = f"The upload may have {upload.size_limit} bytes at most."
            raise TooLarge(msg)

    def _most(self, upload: Upload, declared: int | None) -> int | None:
        return next((one for one in (upload.length, declared, self._rules.most(upload.size_limit)) if one is not None), None)

    async def _append_claimed(self, append: Append, early: Loan) -> Progress:
        """Become the upload's writer, and receive."""
        if append.length is not None:
            await self._judged(append)
        await self._layout.settle(append.id)
        later = append.checksum is not None or append.length == append.offset
        claimed = await self._metadata.claim(
            Claim(
                id=append.id,
                offset=append.offset,
                writer=self._presence.process,
                size=append.body.size,
                length=None if later else append.length,
                limit=self._rules.max_size,
                expires_in=self._rules.expire_after,
                answers=append.checksum is None,
            ),
        )
        if claimed is None:
            return await self._unclaimed(append)
        upload, extents = claimed
        return await self.receive(upload, extents, append, early)

    async def _unclaimed(self, append: Append) -> Progress:
        """Say why: most causes show in the row; an empty body for a finished upload is content with it (rule P8)."""
        upload = await self._judged(append)
        if upload.state is State.RECEIVING:  # it changed between the two statements
            raise OffsetConflict(upload.offset)
        if append.body.size is None and await opening(append.body, self._rules.read_timeout):
            msg = f"The upload has its {upload.length} bytes already."
            raise TooLarge(msg)
        await verify(append.checksum, [])
        return self.progress(upload)

    async def receive(
        self,
        upload: Upload,
        extents: list[Extent],
        append: Append,
        early: Loan,
    ) -> Progress:
        """Receive the body of a claim that was made; *early* was read before it."""
        declared = append.length if append.length != upload.length else None
        most, size = self._most(upload, declared), append.body.size
        exact = size is not None and (most is None or upload.offset + size <= most)
        verifier = Verifier(append.checksum) if append.checksum else None
        limits = Limits(most=most, silence=self._rules.read_timeout, exact=exact)
        receiver = Receiver(upload.id, upload.epoch, append.body, limits, verifier)
        position = Position(upload, self._metadata, self._rules.lifetime(upload.lifetime))
        writer = self._layout.writer(position, extents, commits=verifier is None, wake=receiver.wake)
        self._presence.enter(receiver)
        try:
            await receiver.run(writer, early.given(), length=declared)
        except BytesLost as error:
            await self._lose(upload, position.offset, error)
            raise NotFound from error
        finally:
            self._presence.leave(receiver)
            await writer.close()
            if not position.released:
                await self._release(position)
        return self._reached(position, upload.length if declared is None else declared)

    async def _release(self, position: Position) -> None:
        with contextlib.suppress(Unavailable):  # a heartbeat that ends says the same, later
            await position.release()

    async def _lose(self, upload: Upload, offset: int, error: BytesLost) -> None:
        """Acknowledged bytes are gone from storage: no retry of the client's brings them back.

        Fenced: it was not for this request to find that out; whoever has the upload now may have ended what it used.
        """
        message = event(Event.FAILED, replace(upload, offset=offset))
        await self._metadata.lose(upload.id, upload.epoch, str(error), [message])
        log.error("upload %s: acknowledged bytes are gone from storage: %s", upload.id, error)
        self._outbox.kick()

    def _reached(self, position: Position, total: int | None) -> Progress:
        if position.offset == total:
            self._outbox.kick()
            return Progress(id=position.upload.id, offset=position.offset, length=total, expires_at=None)
        return Progress(
            id=position.upload.id,
            offset=position.offset,
            length=total,
            expires_at=self._expiry(position),
        )

    def _expiry(self, position: Position) -> int | None:
        """Say when the upload will expire; the row has it by the database's clock, and that one counts."""
        if position.expires_in is None:
            return None
        return int((time.time() + position.expires_in) * 1000)

    def progress(self, upload: Upload) -> Progress:
        """Return what the row says."""
        whole = upload.state is not State.RECEIVING
        return Progress(
            id=upload.id,
            offset=upload.offset,
            length=upload.length,
            expires_at=None if whole else upload.expires_at,
        )
