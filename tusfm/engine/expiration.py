"""What time brings: uploads that expire, partials that are done with, leftovers (promise 5).

Nothing is deleted by its age: the row changes first, by the database's clock, and what it names goes afterwards. A
tombstone is looked at again by each sweep, for what a lost answer or a late writer left.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from tusfm.domain.errors import BytesLost, Fenced, TusfmError, Unavailable
from tusfm.domain.files import chunk_prefix, upload_of
from tusfm.domain.upload import ExtentKind, State, Upload, new_id
from tusfm.engine.events import Event, event
from tusfm.engine.outbox import Outbox
from tusfm.engine.writing import Layout
from tusfm.ports.chunking import FileMetadata
from tusfm.ports.storage import MultipartStorage, Storage
from tusfm.ports.watching import UNWATCHED, Kind, Step, Watch

DUTY = "sweep"
CHARGES_DUTY = "charges"
FILES_DUTY = "sweep files"
DAY_SECONDS = 86400.0
MARKER = "work/marker/"
CHUNKS = "work/c/"
FIXED = ("public/", "private/")
MULTIPARTS = ("files/", "work/", *FIXED)
BATCH = 500
ALL = 10**9

log = logging.getLogger(__name__)


class Sweep:
    """Frees what is no longer needed; one process at a time does."""

    def __init__(
        self,
        metadata: FileMetadata,
        layout: Layout,
        storage: Storage,
        outbox: Outbox,
        process: str,
        multipart: MultipartStorage | None = None,
    ) -> None:
        """Take the ports and this process's name; *multipart* is the storage again, if it has multipart uploads.

        The composition root sets *watch*, where somebody wants to be told of sweeps.
        """
        self.watch: Watch = UNWATCHED
        self._metadata = metadata
        self._layout = layout
        self._storage = storage
        self._outbox = outbox
        self._process = process
        self._multipart = multipart

    async def run(self, every: float) -> None:
        """Sweep every so many seconds, for as long as the process lives."""
        while True:
            await asyncio.sleep(every)
            try:
                if await self._metadata.lead(DUTY, self._process, every):
                    await self.sweep()
            except TusfmError as error:
                log.info("the sweep goes on later: %s", error)

    async def sweep(self) -> dict[str, int]:
        """Do all of it once, and return what was done.

        How many uploads expired, were renewed, freed and buried, how many chunks were abandoned, how many objects went.
        """
        with self.watch.step(Step(Kind.SWEEP, "sweep")):
            done = {
                "expired": await self._expire(),
                "renewed": await self._refresh(),
                "freed": await self._free(),
                "abandoned": await self._abandon(),
                "leftovers": await self._leftovers(),  # before the row goes that tells whose they are
                "buried": await self._bury(),
            }
        await self._charge_older()
        self._outbox.kick()
        return done

    async def _charge_older(self) -> None:
        """Once a day count uploads for their owners that were made before there were quotas."""
        if self._metadata.charges and await self._metadata.lead(CHARGES_DUTY, self._process, DAY_SECONDS):
            while charged := await self._metadata.charge_older(BATCH):
                log.info("%d uploads from before there were quotas are counted now", charged)

    async def _expire(self) -> int:
        count = 0
        while overdue := await self._metadata.overdue(BATCH):
            expired = [row for upload_id in overdue if (row := await self._expire_one(upload_id))]
            count += len(expired)
            if not expired:
                break
        return count

    async def _expire_one(self, upload_id: str) -> Upload | None:
        upload = await self._metadata.find(upload_id)
        if upload is None:
            return None
        row = await self._metadata.expire(upload_id, event(Event.EXPIRED, upload))
        if row is not None:
            self.watch.swept("expired")
            await self._remove(row)
        return row

    async def _refresh(self) -> int:
        """Make pieces of multipart uploads that the storage may abort by their age, where nobody writes."""
        if self._layout.age is None:
            return 0
        count = 0
        for upload in await self._metadata.worn(self._layout.age, BATCH):
            try:
                await self._metadata.seize(upload.id, upload.epoch)
                await self._layout.refresh(replace(upload, epoch=upload.epoch + 1))
                self.watch.swept("renewed")
                count += 1
            except Fenced:
                continue
            except (BytesLost, Unavailable) as error:
                log.warning("upload %s: its multipart upload is too old and cannot be completed: %s", upload.id, error)
        return count

    async def _free(self) -> int:
        rows = [await self._metadata.free(upload_id) for upload_id in await self._metadata.freeable(BATCH)]
        for row in rows:
            if row is not None:
                self.watch.swept("freed")
                await self._remove(row)
        return sum(row is not None for row in rows)

    async def _bury(self) -> int:
        count = 0
        for upload in await self._metadata.tombstones(BATCH):
            if await self._remove(upload) and await self._metadata.bury(upload.id):
                self.watch.swept("buried")
                count += 1
        return count

    async def _remove(self, row: Upload) -> bool:
        try:
            await self._layout.remove(row, thorough=True)
        except Unavailable as error:
            log.info("upload %s: its bytes are left to the next sweep: %s", row.id, error)
            return False
        return True

    async def _abandon(self) -> int:
        """Give up chunks that were on their way for a day, and delete what they, and former keys of files, left."""
        count = 0
        for name in await self._metadata.abandoned(BATCH):
            if await self._metadata.abandon(name):
                await self._delete([key async for key in self._storage.keys(chunk_prefix(name))])
                self.watch.swept("abandoned")
                count += 1
        for upload_id in await self._metadata.outlived(BATCH):
            await self._delete(await self._metadata.former_keys(upload_id))
            await self._metadata.forget_keys(upload_id)
        return count

    async def _delete(self, keys: Sequence[str]) -> None:
        if keys:
            await self._storage.delete(keys)

    async def _leftovers(self) -> int:
        """Delete what no row names, of uploads that no longer receive or whose epoch is above the key's.

        What has no row at all goes only under `work/`, and only while the marker names this database's deployment.
        All files are looked at twice a day, for there may be millions, and a tombstone that tells whose they are has a day.
        """
        count = await self._delete_left("work/", strange=await self._marked())
        turn = new_id()  # the duty is in nobody's name, so that nobody renews it
        if await self._metadata.lead(FILES_DUTY, turn, DAY_SECONDS / 2):
            try:
                count += await self._files_left()
            except TusfmError:
                await self._metadata.lead(FILES_DUTY, turn, 0)  # the next sweep looks again
                raise
        return count

    async def _files_left(self) -> int:
        count = await self._delete_left("files/", strange=False)
        for top in MULTIPARTS:
            count += await self._abort_left(top)
        return count

    async def _delete_left(self, prefix: str, *, strange: bool) -> int:
        count = 0
        async for key in self._left(prefix, strange=strange):
            await self._storage.delete([key])
            self.watch.swept("leftovers")
            count += 1
        return count

    async def _left(self, prefix: str, *, strange: bool) -> AsyncIterator[str]:
        async for key in self._storage.keys(prefix):
            self.watch.swept("looked at")
            if not key.startswith(MARKER) and await self._is_left(key, strange=strange):
                yield key

    async def _abort_left(self, prefix: str) -> int:
        count = 0
        if self._multipart is not None:
            async for key, multipart in self._multiparts_left(self._multipart, prefix):
                await self._multipart.abort(key, multipart)
                self.watch.swept("leftovers")
                count += 1
        return count

    async def _multiparts_left(self, storage: MultipartStorage, prefix: str) -> AsyncIterator[tuple[str, str]]:
        async for key, multipart in storage.multiparts(prefix):
            self.watch.swept("looked at")
            upload_id = upload_of(key) if prefix in FIXED else _id_in(key)
            upload = None if upload_id is None else await self._metadata.find(upload_id)
            if upload is not None and upload.multipart != multipart and _behind(key, upload):
                yield key, multipart

    async def _is_left(self, key: str, *, strange: bool) -> bool:
        if key.startswith(CHUNKS):
            return strange and not await self._metadata.known(key[len(CHUNKS) :].partition("/")[0])
        upload = await self._metadata.find(_id_in(key))
        if upload is None:
            return strange
        if key == upload.object_key or not _behind(key, upload):
            return False
        return all(extent.key != key for extent in await self._metadata.extents(upload.id))

    async def _marked(self, *, writes: bool = True) -> bool:
        """Tell whether storage is this deployment's alone; the first to come writes its marker."""
        ours = MARKER + await self._metadata.deployment()
        markers = [key async for key in self._storage.keys(MARKER)]
        if not markers and writes:
            await self._storage.put(ours, [])
        return markers in ([], [ours])

    async def preview(self) -> dict[str, int]:
        """Count what a sweep of everything would do now, and change nothing; tombstones are not counted."""
        strange = await self._marked(writes=False)
        left = 0
        for prefix in ("work/", "files/"):
            async for _ in self._left(prefix, strange=strange and prefix == "work/"):
                left += 1
        if self._multipart is not None:
            for top in MULTIPARTS:
                async for _ in self._multiparts_left(self._multipart, top):
                    left += 1
        return {
            "expired": len(await self._metadata.overdue(ALL)),
            "renewed": 0 if self._layout.age is None else len(await self._metadata.worn(self._layout.age, ALL)),
            "freed": len(await self._metadata.freeable(ALL)),
            "abandoned": len(await self._metadata.abandoned(ALL)),
            "leftovers": left,
        }

    async def orphans(self) -> AsyncIterator[str]:
        """Name files that the database does not know to be finished; they are never deleted for that.

        Another deployment may own them, or they were finished after the backup from which the database was restored.
        """
        async for key in self._storage.keys("files/"):
            upload = await self._metadata.find(_id_in(key))
            if upload is None or (upload.state is State.RECEIVING and not await self._is_piece(key, upload)):
                yield key
        for top in FIXED:
            async for key in self._storage.keys(top):
                upload_id = upload_of(key)
                upload = None if upload_id is None else await self._metadata.find(upload_id)
                if upload_id is not None and (upload is None or upload.state is State.RECEIVING):
                    yield key

    async def _is_piece(self, key: str, upload: Upload) -> bool:
        return any(piece.key == key for piece in await self._metadata.extents(upload.id, ExtentKind.PIECE))


def _id_in(key: str) -> str:
    return key.split("/")[1]


def _behind(key: str, upload: Upload) -> bool:
    """Tell whether nobody can come to need the key, if the row does not name it: its epoch, or its lease, is over."""
    if upload.state not in {State.RECEIVING, State.FINALIZING}:
        return True
    if key.startswith(FIXED):
        return upload.state is State.RECEIVING  # while it is composed, the attempt that comes next ends this one
    *_, kind, last = key.split("/")
    number = last.partition("-")[0]
    present = upload.lease if kind == "l" else upload.epoch
    return number.isdecimal() and int(number) < present
