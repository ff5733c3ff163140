"""Writing to a storage that appends: bytes go to a segment at once, and an offset follows each sync.

A segment is held by its writer's lock, so the newest one can be continued by whoever gets the lock: the writer before it
has closed it, or its process is gone. Else a takeover begins a segment of its own and waits for nobody.
If a newer epoch used the segment in between, the length that whoever got the lock knows is an old one, and cutting the
segment there would take acknowledged bytes. So it looks at the row again before it writes, unless nothing is to be cut.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from tusfm.domain.errors import Fenced, Interrupted, SegmentBusy, StorageFull, Unavailable
from tusfm.domain.upload import Extent, ExtentKind, State, Upload
from tusfm.engine.budget import Budget, add
from tusfm.engine.writing import Change, Position
from tusfm.ports.metadata import Metadata
from tusfm.ports.storage import AppendingStorage, Segment

BATCH_BYTES = 512 * 1024  # enough to be worth the hop to a thread
SYNC_BYTES = 16 * 1024 * 1024  # unsynced bytes of a fast sender: few enough to lose, many enough to keep the disk busy
# What waits for the disk: more would leave the processor's caches, and cost a third of the speed.
MOST_BYTES = 2 * 1024 * 1024


def segment_key(upload_id: str, epoch: int) -> str:
    """Name the segment of an epoch; a claim begins one at most."""
    return f"work/{upload_id}/s/{epoch}"


async def hold(
    storage: AppendingStorage, metadata: Metadata, seen: Upload, last: Extent, pieces: Sequence[bytes] = ()
) -> Segment | None:
    """Take hold of the newest segment for the epoch that *seen* has, and append *pieces*, durable when this returns.

    None when another writer holds it. Fenced.
    """
    try:
        segment = await storage.open(last.key, last.length, pieces)
    except SegmentBusy:
        return None
    if segment.untouched:
        return segment
    try:
        row = await metadata.find(seen.id)
        if row is None or (row.epoch, row.offset) != (seen.epoch, seen.offset):
            msg = "Another request has taken over this upload."
            raise Fenced(msg)
        if pieces:
            await segment.write(pieces)
            await segment.sync()
    except BaseException:
        await segment.close()
        raise
    return segment


class SegmentWriter:
    """Writer for one claim on an appending storage."""

    def __init__(
        self,
        position: Position,
        storage: AppendingStorage,
        segments: list[Extent],
        budget: Budget,
        *,
        commits: bool,
    ) -> None:
        """Take the claim's row and segments. *commits* False: nothing counts before finish (a checksum is to be checked)."""
        self._position = position
        self._storage = storage
        self._last = segments[-1] if segments else None
        self._extent: Extent | None = None  # as committed; None before the first commit of a new segment
        self._commits = commits
        self._segment: Segment | None = None
        self._start = 0
        self._budget = budget
        self._account = budget.account(self)
        self._pieces: list[bytes] = []
        self._pending = 0
        self._written = position.offset
        self._syncing: asyncio.Task[None] | None = None

    @property
    def offset(self) -> int:
        """The committed offset."""
        return self._position.offset

    @property
    def fed(self) -> int:
        """The offset behind all that was fed."""
        return self._written + self._pending

    @property
    def wish(self) -> int:
        """Nothing has to fill up before it can be written."""
        return BATCH_BYTES

    @property
    def most(self) -> int:
        """The disk is to have something to do while more arrives; beyond that, the sender waits."""
        return MOST_BYTES

    def travel(self) -> None:
        """Do nothing: all that was fed is on its way to the disk already."""

    def shed(self) -> None:
        """Do nothing: nothing is kept."""

    def spill(self) -> None:
        """Do nothing, as for travel."""

    def feed(self, piece: bytes) -> bool:
        """Take bytes; True when a batch is full."""
        add(self._pieces, piece)
        self._pending += len(piece)
        self._account.hold(len(piece))
        return self._pending >= BATCH_BYTES

    @property
    def crowded(self) -> bool:
        """Whether the sender should wait."""
        return self._account.crowded

    async def room(self) -> None:
        """Wait until more may be fed."""
        await self._account.room()

    async def advance(self) -> None:
        """Write what was fed; sync and commit in the background once enough is unsynced."""
        await self._write()
        if self._syncing and self._syncing.done():
            await self._settle()
        if self._commits and not self._syncing and self._written - self.offset >= SYNC_BYTES and not self._whole:
            self._syncing = asyncio.create_task(self._sync(self._written))

    async def checkpoint(self) -> None:
        """Make everything that was fed durable and commit it."""
        await self._write()
        await self._settle()
        if self._commits and self._written > self.offset and not self._whole:
            await self._sync(self._written)

    due = float("inf")

    async def refresh(self) -> None:
        """Segments do not age."""

    async def finish(self, length: int | None) -> None:
        """Commit what is left and let the upload go; it is `finalizing` when it is whole."""
        await self._write()
        await self._settle()
        whole = self._written == (length if length is not None else self._position.upload.length)
        if self._segment and self._written > self.offset:
            await self._segment.sync()
        if self._written > self.offset or whole:
            change = replace(self._change(self._written), length=length, state=State.FINALIZING if whole else None)
            await self._position.commit(change, releases=True)
        else:
            await self._position.release()

    async def close(self) -> None:
        """Close the segment when nothing writes to it any more."""
        if self._syncing:
            await asyncio.wait([self._syncing])
            self._syncing.cancelled() or self._syncing.exception()
            self._syncing = None
        if self._segment:
            segment, self._segment = self._segment, None
            await segment.close()
        self._pieces.clear()
        self._budget.close(self._account)

    @property
    def _whole(self) -> bool:
        """Whether a commit would reach the length, which waits for the end of the body (rule P6)."""
        return self._written == self._position.upload.length

    async def _write(self) -> None:
        if not self._pending:
            return
        if self._segment is None:
            self._segment = await self._open()
        pieces, size = self._pieces, self._pending  # not before: more may come while the segment is opened
        self._pieces, self._pending = [], 0
        self._written += size
        try:
            await self._segment.write(pieces)
        except StorageFull:
            self._written -= size
            await self._keep()
            raise
        finally:
            self._account.free(size)

    async def _keep(self) -> None:
        """There is no room for more: what found room before counts, as far as that can be said now."""
        with contextlib.suppress(Interrupted, Unavailable):
            await self._settle()
            if self._commits and self._segment and self._written > self.offset:
                await self._sync(self._written)

    async def _open(self) -> Segment:
        last = self._last
        if last is not None:
            segment = await hold(self._storage, self._position.metadata, self._position.upload, last)
            if segment is not None:
                self._extent, self._start = last, last.start
                return segment
        self._start = self._position.offset
        return await self._storage.open(self._key, 0)

    @property
    def _key(self) -> str:
        return segment_key(self._position.upload.id, self._position.upload.epoch)

    async def _sync(self, reached: int) -> None:
        assert self._segment is not None
        await self._segment.sync()
        await self._position.commit(self._change(reached))
        if reached > self._start:
            self._extent = self._grown(reached)

    async def _settle(self) -> None:
        if self._syncing:
            syncing, self._syncing = self._syncing, None
            await syncing

    def _grown(self, reached: int) -> Extent:
        key = self._extent.key if self._extent else self._key
        return Extent(ExtentKind.SEGMENT, self._start, reached - self._start, key)

    def _change(self, reached: int) -> Change:
        if reached == self.offset:
            return Change(reached=reached)
        return Change(
            reached=reached,
            add=[self._grown(reached)],
            remove=[self._extent] if self._extent else [],
        )
