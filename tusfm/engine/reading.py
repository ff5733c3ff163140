"""Finished uploads as objects to read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tusfm.domain import metadata as grammar
from tusfm.domain.errors import NotFinished, NotFound, Unavailable
from tusfm.domain.upload import Role, State, Upload
from tusfm.engine.appending import live
from tusfm.ports.metadata import Metadata
from tusfm.ports.storage import Storage

FINISH_SECONDS = 10.0  # how long a download waits for an upload that is being finished (promise 4)
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A finished upload: *size* in bytes, *finished_at* in ms since 1970, *path* a local file where there is one."""

    id: str
    size: int
    finished_at: int
    filename: str | None
    filetype: str | None
    path: str | None
    read: Callable[[int, int], AsyncIterator[bytes]]


@dataclass(slots=True)
class _Watch:
    """Downloads that wait for uploads to be finished; all share one query."""

    metadata: Metadata
    waiting: dict[str, list[asyncio.Future[None]]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    async def settled(self, upload_id: str) -> None:
        future = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(upload_id, []).append(future)
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._poll())
        await future

    async def _poll(self) -> None:
        while self.waiting:
            await asyncio.sleep(LOOK_SECONDS)
            self.waiting = {key: left for key, all_ in self.waiting.items() if (left := [f for f in all_ if not f.done()])}
            try:
                settled = await self.metadata.settled(list(self.waiting))
            except Unavailable:
                continue
            for upload_id in settled:
                for future in self.waiting.pop(upload_id, []):
                    if not future.done():
                        future.set_result(None)


class Reader:
    """Opens finished uploads."""

    def __init__(self, metadata: Metadata, storage: Storage, path: Callable[[str], str] | None) -> None:
        """Take the ports; *path* gives an object's local file, None when storage is not local."""
        self._metadata = metadata
        self._storage = storage
        self._path = path
        self._watch = _Watch(metadata)

    async def open(self, upload_id: str) -> StoredObject:
        """Open an upload for reading, waiting a while for one that is being finished. NotFound, NotFinished."""
        upload = await live(self._metadata, upload_id)
        if upload.role is Role.FINAL and upload.state is State.RECEIVING:
            upload = await self._ripened(upload)
        if upload.state is State.FINALIZING:
            upload = await self._settled(upload)
        if upload.role is Role.PARTIAL:
            raise NotFound
        if upload.state is not State.AVAILABLE or upload.object_key is None:
            msg = "The upload is not finished yet."
            raise NotFinished(msg)
        return self._object(upload, upload.object_key)

    async def _ripened(self, upload: Upload) -> Upload:
        """Wait while a final's partials have all their bytes and are only being finished."""
        end = asyncio.get_running_loop().time() + FINISH_SECONDS
        done = {State.FINALIZING, State.AVAILABLE}
        while upload.state is State.RECEIVING and asyncio.get_running_loop().time() < end:
            if any(partial.state not in done for partial in await self._metadata.partials(upload.id)):
                break
            await asyncio.sleep(LOOK_SECONDS)
            upload = await live(self._metadata, upload.id)
        return upload

    async def _settled(self, upload: Upload) -> Upload:
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await self._watch.settled(upload.id)
        except TimeoutError:
            return upload
        return await live(self._metadata, upload.id)

    def _object(self, upload: Upload, key: str) -> StoredObject:
        try:
            pairs = grammar.parse(upload.metadata)
        except grammar.BadMetadata:
            pairs = {}
        return StoredObject(
            id=upload.id,
            size=upload.offset,
            finished_at=upload.finished_at or upload.created_at,
            filename=grammar.text(pairs, "filename", "name"),
            filetype=grammar.text(pairs, "filetype", "type"),
            path=self._path(key) if self._path else None,
            read=lambda start, length: self._storage.read(key, start, length),
        )
