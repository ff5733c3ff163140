"""From chunks to a file: one attempt under the lease, by whoever finalizes (promises 3 and 4).

All attempts write the same key. So each ends the one before it, and hears that it has ended, before it begins; and it counts
only if no chunk came meanwhile, which the upload's revision tells.
"""

import logging
from collections.abc import Sequence

from tusfm.domain.errors import BytesLost, Fenced, StorageUnavailable, Unavailable
from tusfm.domain.files import Chunk, File, chunk_key
from tusfm.domain.upload import Upload
from tusfm.engine.events import Event, completion, event
from tusfm.engine.rules import Rules
from tusfm.engine.writing import Layout
from tusfm.ports.chunking import Chunking, FileMetadata
from tusfm.ports.storage import Source, Storage

GONE = "The bytes of a chunk are gone from storage."
"""The error that a row keeps from the first look to the second."""
LOOK_AGAIN_SECONDS = 30.0

log = logging.getLogger(__name__)


async def chunk_objects(metadata: Chunking, upload_id: str) -> list[str]:
    """List what the rows of an upload name beside its object: its chunks' objects, and former keys."""
    return [*_keys(await metadata.chunks(upload_id)), *await metadata.former_keys(upload_id)]


def _keys(chunks: Sequence[Chunk]) -> list[str]:
    return [key for chunk in chunks for key in chunk.keys]


class Joiner:
    """Composes chunks."""

    def __init__(self, metadata: FileMetadata, layout: Layout, storage: Storage, rules: Rules) -> None:
        """Take the ports."""
        self._metadata = metadata
        self._layout = layout
        self._storage = storage
        self._rules = rules

    async def join(self, upload: Upload) -> bool:
        """Make an attempt; True when it has to begin again at once, for a chunk came meanwhile.

        Fenced: somebody else is at it. Unavailable, SegmentBusy: it must be tried again later.
        """
        file = await self._metadata.file_of(upload.id)
        assert file is not None
        assert file.key is not None
        received, former = await self._metadata.chunks(upload.id), await self._metadata.former_keys(upload.id)
        chunks = [chunk for chunk in received if chunk.index < (file.chunks or 0)]
        try:
            why = self._unfit(file, chunks)
            if why is not None:
                await self._fail(upload, why)
                return False
            await self._layout.compose_into(upload, _sources(chunks), file.key, file.content_type)
            await self._publish(upload, sum(chunk.size for chunk in chunks))
        except BytesLost as error:
            return await self._vanished(upload, chunks, error)
        except Fenced:
            return await self._revised(upload)
        await self._discard(upload, received, former)
        return False

    def _unfit(self, file: File, chunks: Sequence[Chunk]) -> str | None:
        """Say why no attempt can succeed before the client sends more."""
        if file.chunks is None:
            return "Another service received this file, and its chunks are not here."
        if len(chunks) < file.chunks:
            return f"{file.chunks - len(chunks)} of {file.chunks} chunks are missing, the first is {_first_gap(chunks)}."
        size = sum(chunk.size for chunk in chunks)
        if size == file.size:
            return None
        said = f"The chunks have {size} bytes, and the client announced {file.size}."
        if self._rules.strict_size:
            return said
        log.info("upload %s: %s", file.upload_id, said)
        return None

    async def _publish(self, upload: Upload, size: int) -> None:
        await self._metadata.publish_file(upload, size, completion(upload, size))

    async def _fail(self, upload: Upload, why: str) -> None:
        log.warning("upload %s: %s", upload.id, why)
        await self._metadata.fail_file(upload, why, self._rules.expire_after, [event(Event.FAILED, upload)])

    async def _revised(self, upload: Upload) -> bool:
        """Begin again, if the lease is still ours: it was a chunk, then. Fenced."""
        await self._metadata.postpone(upload.id, upload.lease, "A chunk came while the file was composed.", 0)
        return True

    async def _vanished(self, upload: Upload, chunks: Sequence[Chunk], error: BytesLost) -> bool:
        """Look again: a chunk that was replaced is gone, and so is an attempt that was ended from outside."""
        now = await self._metadata.find(upload.id)
        if now is None or now.revision != upload.revision:
            return await self._revised(upload)
        if not await self._lacking(chunks):
            raise StorageUnavailable(f"composing was interrupted: {error}") from error
        if upload.error != GONE:
            await self._metadata.postpone(upload.id, upload.lease, GONE, LOOK_AGAIN_SECONDS)
            return False
        try:
            await self._fail(upload, f"{GONE} {error}")
        except Fenced:
            return await self._revised(upload)
        return False

    async def _lacking(self, chunks: Sequence[Chunk]) -> bool:
        for chunk in chunks:
            for key, size in zip(chunk.keys, chunk.sizes, strict=True):
                if await self._storage.size(key) != size:
                    return True
        return False

    async def _discard(self, upload: Upload, received: Sequence[Chunk], former: Sequence[str]) -> None:
        """Delete what the file was made of; a former key can no longer be written to, for the file has its own for good."""
        try:
            await self._layout.discard([*_keys(received), *former])
            if former:
                await self._metadata.forget_keys(upload.id)
        except Unavailable as error:
            log.info("upload %s: what it was made of is left to the sweep: %s", upload.id, error)


def _first_gap(chunks: Sequence[Chunk]) -> int:
    """Return the least index that is missing."""
    return next((place for place, chunk in enumerate(chunks) if chunk.index != place), len(chunks))


def _sources(chunks: Sequence[Chunk]) -> list[Source]:
    return [
        Source(chunk_key(chunk.name, number), 0, size, whole=True)
        for chunk in chunks
        for number, size in enumerate(chunk.sizes)
        if size
    ]
