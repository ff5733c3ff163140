"""An upload on a storage that appends: segments, joined into the object."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from tusfm.domain.errors import Fenced
from tusfm.domain.upload import Extent, ExtentKind, Role, State, Upload
from tusfm.engine.budget import Budget
from tusfm.engine.joining import chunk_objects
from tusfm.engine.segments import SegmentWriter, hold
from tusfm.engine.writing import Assembled, Change, Placement, Position
from tusfm.ports.chunking import FileMetadata
from tusfm.ports.storage import AppendingStorage, Source

TIPS = 1000  # newest segments that a process remembers


class SegmentLayout:
    """Layout for AppendingStorage."""

    age: float | None = None
    small = 1024 * 1024

    def __init__(self, storage: AppendingStorage, metadata: FileMetadata, budget: Budget) -> None:
        """Take the ports and the memory to work with."""
        self._storage = storage
        self._metadata = metadata
        self.budget = budget
        self._tips: dict[str, tuple[int, Extent]] = {}

    def writer(
        self,
        position: Position,
        extents: list[Extent],
        *,
        commits: bool,
        wake: Callable[[], None],  # noqa: ARG002  nothing happens behind this writer's back
    ) -> SegmentWriter:
        """Make the writer of a claim."""
        return SegmentWriter(position, self._storage, extents, self.budget, commits=commits)

    async def place(self, upload: Upload, pieces: Sequence[bytes], total: int | None) -> Placement | None:
        """Put a whole file as its object, anything else at the end of the newest segment."""
        reached = upload.offset + sum(map(len, pieces))
        name = f"{upload.epoch + 1}-{random.getrandbits(32):08x}"
        if upload.offset == 0 and reached == total:
            key = f"files/{upload.id}/{name}"
            await self._storage.put(key, pieces)
            return Placement(Change(reached=reached, state=State.AVAILABLE, object_key=key, seizes=True), [key])
        return await self._append(
            upload,
            pieces,
            name,
            Change(
                reached=reached,
                state=State.FINALIZING if reached == total else None,
                seizes=True,
            ),
        )

    async def settle(self, upload_id: str) -> None:
        """Do nothing: nothing goes on beside requests."""

    async def close(self) -> None:
        """Do nothing."""

    async def _append(self, upload: Upload, pieces: Sequence[bytes], name: str, change: Change) -> Placement | None:
        """Append to the newest segment, which stays held until the change is committed."""
        last = await self._newest(upload) if upload.offset else None
        key, start = (last.key, last.start) if last else (f"work/{upload.id}/s/{name}", upload.offset)
        held = hold(self._storage, self._metadata, upload, last, pieces) if last else self._storage.open(key, 0, pieces)
        segment = await held
        if segment is None:
            return None
        grown = Extent(ExtentKind.SEGMENT, start, change.reached - start, key)
        change = replace(change, add=[grown], remove=[last] if last else [])
        return Placement(change, [] if last else [key], counted=lambda _: self._remember(upload, grown), done=segment.close)

    async def _newest(self, upload: Upload) -> Extent | None:
        known = self._tips.get(upload.id)
        if known and known[0] == upload.epoch and known[1].end == upload.offset:
            return known[1]
        segments = await self._metadata.extents(upload.id, ExtentKind.SEGMENT)
        return segments[-1] if segments else None

    def _remember(self, upload: Upload, tip: Extent) -> None:
        """Save the next small PATCH a query: the row's epoch tells whether the segment is still the newest."""
        self._tips.pop(upload.id, None)
        self._tips[upload.id] = (upload.epoch + 1, tip)
        if len(self._tips) > TIPS:
            self._tips.pop(next(iter(self._tips)))

    async def refresh(self, upload: Upload) -> None:
        """Segments do not age."""

    async def assemble(self, upload: Upload) -> Assembled:
        """Join the segments into the object."""
        key = f"files/{upload.id}/{upload.epoch}"
        segments = await self._metadata.extents(upload.id, ExtentKind.SEGMENT)
        if segments:
            await self._storage.join([Source(one.key, 0, one.length) for one in segments], key)
        elif await self._storage.size(key) is None:
            await self._storage.put(key, [])
        return Assembled(key)

    async def compose(self, upload: Upload, sources: Sequence[Source]) -> str:
        """Copy the partials' bytes into the object, inside the file system where it can."""
        key = f"files/{upload.id}/{upload.epoch}"
        await self._storage.compose(sources, key)
        return key

    async def compose_into(self, upload: Upload, sources: Sequence[Source], key: str, content_type: str) -> None:  # noqa: ARG002  files have none
        """Copy the sources into a draft of this attempt's own, and give it the name.

        The draft of the one before goes first: that one, should it wake, finds nothing to give the name to.
        """
        if upload.multipart:
            await self._storage.delete([upload.multipart])
        draft = f"work/{upload.id}/l/{upload.lease}"
        await self._storage.put(draft, [])
        try:
            await self._metadata.composing(upload.id, upload.lease, key, draft)
        except Fenced:
            await self._storage.delete([draft])
            raise
        await self._storage.compose(sources, key, draft)

    async def remove(self, upload: Upload, *, thorough: bool) -> None:  # noqa: ARG002  looking into one folder is cheap
        """Delete all of an upload's files, named by the row or not."""
        for top in ("work", "files"):
            keys = [key async for key in self._storage.keys(f"{top}/{upload.id}/")]
            if keys:
                await self._storage.delete(keys)
        if upload.role is Role.CHUNKED:
            named = [*await chunk_objects(self._metadata, upload.id), *([upload.object_key] if upload.object_key else [])]
            await self._storage.delete(named)

    async def discard(self, keys: Sequence[str]) -> None:
        """Delete objects that no row names."""
        await self._storage.delete(keys)
