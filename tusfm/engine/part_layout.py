"""An upload on a storage of write-once objects: parts, tails and pieces, completed or composed into the object."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tusfm.domain.errors import BytesLost, Fenced
from tusfm.domain.upload import Extent, ExtentKind, Role, State, Upload
from tusfm.engine.budget import Budget
from tusfm.engine.composition import CopyPart, GatherPart, bundles, plan
from tusfm.engine.gathering import Gatherer
from tusfm.engine.joining import chunk_objects
from tusfm.engine.multiparts import complete, object_key, part_size, piece_of, turn
from tusfm.engine.parts import MOST_TAILS, PartWriter, tail_key
from tusfm.engine.stretch import Kept, Stretch
from tusfm.engine.writing import Assembled, Change, Placement, Position
from tusfm.ports.chunking import FileMetadata
from tusfm.ports.storage import MultipartStorage, Part, Source

DAY_SECONDS = 86400.0  # after which storages are known to abort multipart uploads
ODD = "A composed object is not there, or has another size."
COPIES_AT_ONCE = 8  # inside the storage, so they cost this process nothing but a connection each

log = logging.getLogger(__name__)


class PartLayout:
    """Layout for MultipartStorage."""

    small = 4 * 1024 * 1024

    def __init__(
        self, storage: MultipartStorage, metadata: FileMetadata, budget: Budget, age: float = DAY_SECONDS / 2
    ) -> None:
        """Take the ports, the memory to work with, and the seconds for which a multipart upload is used."""
        self.age: float | None = age
        self._age = age
        self._storage = storage
        self._metadata = metadata
        self.budget = budget
        self._kept = Kept(budget)
        self._gatherer = Gatherer(storage, metadata, budget, age)

    def writer(
        self,
        position: Position,
        extents: list[Extent],
        *,
        commits: bool,
        wake: Callable[[], None],
    ) -> PartWriter:
        """Make the writer of a claim."""
        return PartWriter(
            position,
            self._storage,
            extents,
            self.budget,
            self._kept,
            commits=commits,
            wake=wake,
            age=self._age,
        )

    async def place(self, upload: Upload, pieces: Sequence[bytes], total: int | None) -> Placement | None:
        """Put a whole file as its object, and a few bytes of a longer one as a tail; parts need a claim."""
        size = sum(map(len, pieces))
        reached = upload.offset + size
        if reached == total:
            if upload.offset or upload.object_key:
                return None
            key = f"files/{upload.id}/{upload.epoch + 1}-{secrets.token_hex(4)}"
            await self._storage.put(key, pieces)
            return Placement(Change(reached=reached, state=State.AVAILABLE, object_key=key, seizes=True), [key])
        stretch = await self._open(upload)
        return await self._place_tail(upload, stretch, pieces, part_size(total))

    async def _open(self, upload: Upload) -> Stretch:
        stretch = self._kept.of(upload)
        if stretch is None:
            tails = await self._metadata.extents(upload.id, ExtentKind.TAIL) if upload.offset else []
            stretch = Stretch(tails[0].start if tails else upload.offset, upload.offset, upload.offset, tails=tails)
        return stretch

    async def _place_tail(self, upload: Upload, stretch: Stretch, pieces: Sequence[bytes], part: int) -> Placement | None:
        """Put the bytes as a tail; if it fills a part, that is made beside. The commit counts a part that landed, too."""
        size = sum(map(len, pieces))
        under_way = self._gatherer.of(upload.id, stretch)
        behind, before = (under_way.part.end, len(under_way.tails)) if under_way else (stretch.base, 0)
        full = stretch.end + size - behind >= part
        into = await self._gatherer.ready(upload, stretch) if full else None
        if (full and into is None) or len(stretch.tails) - before >= MOST_TAILS:
            return None
        key = tail_key(upload.id, upload.epoch + 1, secrets.token_hex(4))
        await self._storage.put(key, pieces)
        tail = Extent(ExtentKind.TAIL, upload.offset, size, key)
        landed = self._gatherer.landed(upload.id, stretch)

        def counted(position: Position) -> None:
            if landed:
                self._gatherer.counted(landed)
            self._keep(upload, stretch, pieces, tail)
            if into:
                self._gatherer.start(into, stretch, position)
            self._kept.put(upload.id, stretch)

        change = Change(
            reached=tail.end,
            add=[landed.part, tail] if landed else [tail],
            remove=landed.tails if landed else (),
            reserve=int(into is not None),
            seizes=True,
        )
        return Placement(change, [key], counted)

    def _keep(self, upload: Upload, stretch: Stretch, pieces: Sequence[bytes], tail: Extent) -> None:
        """Leave the last tail's bytes in memory, behind those that are there already."""
        self._kept.take(upload.id)
        stretch.pieces += pieces
        stretch.end, stretch.tails, stretch.epoch = tail.end, [*stretch.tails, tail], upload.epoch + 1

    async def settle(self, upload_id: str) -> None:
        """Have the part counted that is made beside requests."""
        await self._gatherer.settle(upload_id)

    async def close(self) -> None:
        """End what is gathered."""
        await self._gatherer.close()

    async def refresh(self, upload: Upload) -> None:
        """Make a piece of the multipart upload, which is too old."""
        await turn(self._storage, self._metadata, upload, ())

    async def assemble(self, upload: Upload) -> Assembled:
        """Complete the upload's only multipart upload, or compose the pieces of several; one may have nothing that counts."""
        found = await self._metadata.extents(upload.id, ExtentKind.PIECE)
        parts = await self._metadata.extents(upload.id, ExtentKind.PART)
        size: int | None = None
        if parts:
            multipart = None if _composes(upload) else upload.multipart  # it was completed before the composition began
            size = await complete(self._storage, parts[0].key, multipart, parts)
            found.append(piece_of(parts))
        pieces, vain = [one for one in found if one.length], [one.key for one in found if not one.length]
        if len(pieces) == 1 and pieces[0].length == (size or await self._storage.size(pieces[0].key)):
            return Assembled(pieces[0].key, vain)
        key = await self.compose(upload, [Source(piece.key, 0, piece.length) for piece in pieces])
        return Assembled(key, [piece.key for piece in found])

    async def compose(self, upload: Upload, sources: Sequence[Source]) -> str:
        """Copy the sources into one object inside the storage, going on where a holder of the lease before left off."""
        total = sum(source.length for source in sources)
        steps = plan(sources)
        if not steps:
            key = f"files/{upload.id}/l/{upload.lease}"
            await self._storage.put(key, [])
            return key
        if _composes(upload) and upload.object_key and upload.multipart:
            done = await self._metadata.parts_composed(upload.id, upload.lease)
            begun = _Composition(upload.object_key, upload.multipart, steps, total, {part.number: part for part in done})
            try:
                return await self._composed(upload, begun)
            except BytesLost as error:
                log.info("upload %s is composed anew: %s", upload.id, error)
        key, multipart = await self._begin(upload)
        return await self._composed(upload, _Composition(key, multipart, steps, total, {}))

    async def _begin(self, upload: Upload) -> tuple[str, str]:
        key = f"files/{upload.id}/l/{upload.lease}"
        return key, await self._record(upload, key, await self._storage.begin(key))

    async def _record(self, upload: Upload, key: str, multipart: str) -> str:
        try:
            await self._metadata.composing(upload.id, upload.lease, key, multipart)
        except Fenced:
            await self._storage.abort(key, multipart)
            raise
        return multipart

    async def compose_into(self, upload: Upload, sources: Sequence[Source], key: str, content_type: str) -> None:
        """Copy the sources into a key that attempts share.

        The one before is ended first, and has answered: else its Complete, that slept, would put other bytes there later.
        Nothing of it is used, and an object of the right size is no proof: it may have another chunk in it.
        """
        if upload.multipart and upload.object_key:
            await self._storage.abort(upload.object_key, upload.multipart)
        pieces = await self._pieces(upload, bundles(sources))
        multipart = await self._record(upload, key, await self._storage.begin(key, content_type))
        await self._made(key, multipart, pieces or sources)
        if pieces:
            await self._storage.delete([piece.key for piece in pieces])

    async def _pieces(self, upload: Upload, runs: Sequence[Sequence[Source]]) -> list[Source]:
        """Compose each run into a piece, under this lease, where there are too many sources for one multipart upload."""
        pieces = []
        for number, run in enumerate(runs if len(runs) > 1 else ()):
            key = f"work/{upload.id}/l/{upload.lease}-{number}"
            pieces.append(Source(key, 0, await self._made(key, await self._storage.begin(key), run)))
        return pieces

    async def _made(self, key: str, multipart: str, sources: Sequence[Source]) -> int:
        """Make the object of the sources, and return its size. BytesLost."""
        steps = plan(sources) or [GatherPart(1, ())]  # an object of one empty part is empty
        into = _Composition(key, multipart, steps, sum(source.length for source in sources), {})
        await self._copy(into)
        await self._storage.complete(key, multipart, into.listed)
        if await self._storage.size(key) != into.total:
            raise BytesLost(ODD)
        return into.total

    async def _composed(self, upload: Upload, into: "_Composition") -> str:
        """Make the parts that are missing, and the object. BytesLost: a source is gone, or what was begun is."""

        async def done(part: Part) -> None:
            await self._metadata.composed(upload.id, upload.lease, part)

        await self._copy(into, done)
        await self._complete(into.key, into.multipart, into.listed, into.total)
        return into.key

    async def _copy(self, into: "_Composition", done: Callable[[Part], Awaitable[None]] | None = None) -> None:
        at_once = asyncio.Semaphore(COPIES_AT_ONCE)

        async def copy(step: CopyPart | GatherPart) -> None:
            async with at_once:
                part = Part(step.number, await self._compose_part(into.key, into.multipart, step))
                if done is not None:
                    await done(part)
                into.parts[part.number] = part

        waiting = [copy(step) for step in into.steps if step.number not in into.parts]
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _compose_part(self, key: str, multipart: str, step: CopyPart | GatherPart) -> str:
        if isinstance(step, CopyPart):
            return await self._storage.copy_part(key, multipart, step.number, step.source)
        async with self.budget.gathering(sum(source.length for source in step.sources)):
            pieces = [
                piece
                for source in step.sources
                async for piece in self._storage.read(source.key, source.start, source.length)
            ]
            return await self._storage.put_part(key, multipart, step.number, pieces)

    async def _complete(self, key: str, multipart: str, parts: Sequence[Part], total: int) -> None:
        try:
            await self._storage.complete(key, multipart, parts)
        except BytesLost:
            if await self._storage.size(key) != total:
                raise
            return
        if await self._storage.size(key) != total:
            raise BytesLost(ODD)

    async def remove(self, upload: Upload, *, thorough: bool) -> None:
        """Abort what is unfinished, and delete what the row names."""
        if upload.multipart and upload.object_key:
            await self._storage.abort(upload.object_key, upload.multipart)
        keys = {one.key for one in await self._metadata.extents(upload.id)}
        keys |= {key for key in (upload.object_key, object_key(upload.id, upload.epoch)) if key}
        if upload.role is Role.CHUNKED:
            keys |= set(await chunk_objects(self._metadata, upload.id))
        if thorough:
            for prefix in (f"work/{upload.id}/", f"files/{upload.id}/"):
                keys |= {key async for key in self._storage.keys(prefix)}
        await self._storage.delete(sorted(keys))

    async def discard(self, keys: Sequence[str]) -> None:
        """Delete objects that no row names."""
        await self._storage.delete(keys)


@dataclass(frozen=True, slots=True)
class _Composition:
    """A multipart upload that is made of copies: its steps, and the parts that are there."""

    key: str
    multipart: str
    steps: Sequence[CopyPart | GatherPart]
    total: int
    parts: dict[int, Part]

    @property
    def listed(self) -> list[Part]:
        """The parts in order."""
        return [self.parts[number] for number in sorted(self.parts)]


def _composes(upload: Upload) -> bool:
    """Whether the multipart upload in the row is a composition's and not the upload's own."""
    return upload.object_key is not None and "/l/" in upload.object_key
