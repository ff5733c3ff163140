"""Parts that are made of tails beside requests.

The PATCH whose bytes fill a part is a tail like those before it, and its client does not wait while all their bytes travel
once more, as a part. That part counts with the commit of a PATCH that follows, or with one of its own when none does.

What is known here of a row (its tails, its multipart upload, its next part number) is right for as long as the row has the
epoch that this process was the last to raise: every commit compares it, and a part that comes too late is nobody's.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace

from tusfm.domain.errors import Fenced, TusfmError
from tusfm.domain.upload import Extent, ExtentKind, Upload
from tusfm.engine.budget import Budget, Loan
from tusfm.engine.multiparts import TURN_NUMBERS
from tusfm.engine.stretch import Stretch
from tusfm.engine.writing import Change, Position
from tusfm.ports.metadata import Metadata
from tusfm.ports.storage import MultipartStorage

QUIET_SECONDS = 10.0  # a part that landed waits so long for the commit of a PATCH, and a slow one must not lose to it

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Gathering:
    """A part on its way, of the first *tails* of a stretch; it has its etag when it has landed."""

    position: Position
    stretch: Stretch
    part: Extent
    tails: Sequence[Extent]
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def taken(self) -> None:
        """Begin the stretch behind the part: a commit has put it in the tails' place."""
        self.stretch.base = self.part.end
        self.stretch.tails = self.stretch.tails[len(self.tails) :]


class Gatherer:
    """Makes parts of the tails that this process has in memory, one at a time for each upload."""

    def __init__(self, storage: MultipartStorage, metadata: Metadata, budget: Budget, age: float) -> None:
        """Take the ports, the memory to work with, and the seconds for which a multipart upload is used."""
        self._storage = storage
        self._metadata = metadata
        self._budget = budget
        self._age_ms = age * 1000
        self._under_way: dict[str, Gathering] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, upload_id: str, stretch: Stretch) -> Gathering | None:
        """Return what is under way of this stretch."""
        found = self._under_way.get(upload_id)
        return found if found is not None and found.stretch is stretch else None

    def landed(self, upload_id: str, stretch: Stretch) -> Gathering | None:
        """Return it if it waits for a commit."""
        found = self.of(upload_id, stretch)
        return found if found is not None and found.part.etag else None

    async def ready(self, upload: Upload, stretch: Stretch) -> Upload | None:
        """Return the row with a multipart upload that takes one more part; the next commit has to reserve its number.

        What is under way is waited for. None when a claim is needed: memory lacks bytes, a part did not arrive, or the
        multipart upload is worn. Fenced.
        """
        before = self.of(upload.id, stretch)
        if before is not None:
            await before.over.wait()
            if not before.part.etag:
                return None
        begins = stretch.base if before is None else before.part.end
        if stretch.epoch != upload.epoch or stretch.memory > begins or upload.next_part > TURN_NUMBERS:
            return None
        if upload.multipart is None:
            return await self._begin(upload)
        began = upload.multipart_at or upload.seen_at
        return upload if upload.seen_at - began < self._age_ms else None

    async def _begin(self, upload: Upload) -> Upload:
        key = f"files/{upload.id}/{upload.epoch}-{secrets.token_hex(4)}"
        multipart = await self._storage.begin(key)
        try:
            number = await self._metadata.begin_multipart(upload.id, upload.epoch, key, multipart, 0)
        except Fenced:
            await self._storage.abort(key, multipart)
            raise
        return replace(upload, multipart=multipart, object_key=key, next_part=number)

    def start(self, upload: Upload, stretch: Stretch, position: Position) -> None:
        """Send the stretch, whose bytes are tails by now, as the part that the commit reserved; they leave its memory."""
        if stretch.memory > stretch.base:
            return
        assert upload.object_key is not None
        loan = Loan(self._budget)
        for piece in stretch.pieces:
            loan.take(piece)
        stretch.drop(stretch.end)
        part = Extent(ExtentKind.PART, stretch.base, stretch.size, upload.object_key, upload.next_part)
        gathering = self._under_way[upload.id] = Gathering(position, stretch, part, stretch.tails)
        self._beside(self._send(gathering, upload, loan))

    async def _send(self, gathering: Gathering, upload: Upload, loan: Loan) -> None:
        part = gathering.part
        assert upload.multipart is not None
        try:
            with contextlib.closing(loan):
                etag = await self._storage.put_part(part.key, upload.multipart, part.number, loan.pieces)
            gathering.part = replace(part, etag=etag)
        except TusfmError as error:
            log.info("upload %s: its tails are gathered later: %s", upload.id, error)
            self._forget(gathering)
            return
        finally:
            gathering.over.set()
        await asyncio.sleep(QUIET_SECONDS)
        await self._commit(gathering)

    async def settle(self, upload_id: str) -> None:
        """Have what is under way counted; who claims the upload would write the same bytes again."""
        gathering = self._under_way.get(upload_id)
        if gathering is not None:
            await gathering.over.wait()
            await self._commit(gathering)

    async def _commit(self, gathering: Gathering) -> None:
        """Count a part that landed, if nobody has. Whoever wrote since raised the epoch, and knows nothing of it."""
        stretch, before = gathering.stretch, gathering.position
        if self._under_way.get(before.upload.id) is not gathering or not gathering.part.etag:
            return
        self._forget(gathering)
        assert stretch.epoch is not None
        epoch = stretch.epoch
        upload = replace(before.upload, epoch=epoch, offset=stretch.end)
        change = Change(reached=stretch.end, add=[gathering.part], remove=gathering.tails, seizes=True)
        try:
            await Position(upload, self._metadata, before.expires_in).commit(change)
        except TusfmError as error:
            log.debug("upload %s: a part that was gathered does not count: %s", upload.id, error)
            return
        stretch.epoch = epoch + 1
        self.counted(gathering)

    def counted(self, gathering: Gathering) -> None:
        """Go on behind a part that was committed, and delete its tails beside."""
        self._forget(gathering)
        gathering.taken()
        self._beside(self._delete([tail.key for tail in gathering.tails]))

    async def _delete(self, keys: Sequence[str]) -> None:
        try:
            await self._storage.delete(keys)
        except TusfmError as error:
            log.info("%d tails are left to the sweep: %s", len(keys), error)

    def _forget(self, gathering: Gathering) -> None:
        if self._under_way.get(gathering.position.upload.id) is gathering:
            del self._under_way[gathering.position.upload.id]

    def _beside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is under way; the tails are there, and whoever comes next gathers them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
