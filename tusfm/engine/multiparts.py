"""The multipart uploads of one upload, one after another: numbers, their age, and the pieces that they become.

A storage may abort a multipart upload by its age since it began, even one in use, and S3 has 10,000 numbers. So none is
used for longer than half a day or for more than 9,000 numbers: it is completed into a *piece*, and a new one begins.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tusfm.domain.errors import BytesLost, Fenced
from tusfm.domain.upload import Extent, ExtentKind, Upload
from tusfm.engine.writing import Position
from tusfm.ports.metadata import Metadata
from tusfm.ports.storage import MultipartStorage, Part, Pieces

MIB = 1024 * 1024
PART_BYTES = 8 * MIB
LARGE_PART_BYTES = 32 * MIB
LARGE_UPLOAD_BYTES = 80_000_000_000  # the line is drawn by promise 9; a file a little below it may turn once
IN_FLIGHT = 2  # parts of one upload on their way at once: one does not fill the storage, three cost memory
TURN_NUMBERS = 9_000  # of the 10,000 that S3 allows


def object_key(upload_id: str, epoch: int, turn: int = 0) -> str:
    """Name an object, or a multipart upload, of an epoch; a later one of the same epoch bears its turn."""
    return f"files/{upload_id}/{epoch}" + (f"-{turn}" if turn else "")


def part_size(length: int | None) -> int:
    """Bytes of a full part (promise 9)."""
    return LARGE_PART_BYTES if length is not None and length > LARGE_UPLOAD_BYTES else PART_BYTES


class Numbers:
    """Part numbers: reserved in the row before use, a few ahead, and given back if they were not used."""

    def __init__(self, first: int) -> None:
        """Begin behind those that the row has given out."""
        self.next = self.end = first
        self.ordered = 0  # to be reserved by the next commit

    def order(self) -> int:
        """Return how many the next commit reserves, to stay IN_FLIGHT ahead."""
        self.ordered = max(0, IN_FLIGHT - (self.end - self.next))
        return self.ordered

    def spare(self) -> int:
        """Return the reserved numbers that no part was sent under, as a negative reservation."""
        self.ordered = self.next - self.end
        return self.ordered

    def confirmed(self) -> None:
        """The commit is done."""
        self.end += self.ordered
        self.ordered = 0


class Multiparts:
    """The multipart uploads of a claim: the one that the row names, and those that come after it."""

    def __init__(self, position: Position, storage: MultipartStorage, age: float) -> None:
        """Take the claim's row; *age* is the seconds for which a multipart upload is used."""
        upload = position.upload
        self._storage = storage
        self._metadata = position.metadata
        self._upload = upload
        self._age_ms = age * 1000
        self._opened = asyncio.get_running_loop().time()
        self._began = upload.multipart_at or upload.seen_at
        self._turns = 0
        self.numbers = Numbers(upload.next_part)
        self.name = upload.multipart
        self.key = upload.object_key or ""

    @property
    def due(self) -> float:
        """When the present one is too old, by the loop's clock; a request may last for days."""
        if self.name is None:
            return float("inf")
        return self._opened + (self._began + self._age_ms - self._upload.seen_at) / 1000

    @property
    def worn(self) -> bool:
        """Whether the present one must not be used any more."""
        worn = self.numbers.next > TURN_NUMBERS or asyncio.get_running_loop().time() >= self.due
        return self.name is not None and worn

    async def number(self) -> int:
        """Take a part number; begins a multipart upload if there is none. Fenced."""
        if self.name is None:
            await self._begin()
        numbers = self.numbers
        if numbers.next == numbers.end:
            numbers.next = await self._metadata.reserve(self._upload.id, self._upload.epoch, IN_FLIGHT)
            numbers.end = numbers.next + IN_FLIGHT
        numbers.next += 1
        return numbers.next - 1

    async def put(self, number: int, pieces: Pieces) -> str:
        """Send a part."""
        assert self.name is not None
        return await self._storage.put_part(self.key, self.name, number, pieces)

    async def _begin(self) -> None:
        upload = self._upload
        self.key = object_key(upload.id, upload.epoch, self._turns)
        self._turns += 1
        name = await self._storage.begin(self.key)
        began = upload.seen_at + int((asyncio.get_running_loop().time() - self._opened) * 1000)
        numbers = self.numbers
        try:
            numbers.next = await self._metadata.begin_multipart(upload.id, upload.epoch, self.key, name, IN_FLIGHT)
        except Fenced:
            await self._storage.abort(self.key, name)
            raise
        numbers.end = numbers.next + IN_FLIGHT
        self.name, self._began = name, began

    async def turn(self, early: Sequence[Extent]) -> "Turned":
        """Complete the present one; no part of it may be on its way. Fenced, BytesLost.

        *early* are its parts that are not committed, for their checksum is not known yet.
        """
        named = replace(self._upload, multipart=self.name, object_key=self.key)
        turned = await turn(self._storage, self._metadata, named, early)
        self.name = None
        self.numbers = Numbers(1)
        return turned


@dataclass(frozen=True, slots=True)
class Turned:
    """What has to be committed instead of early parts: they lie in the piece's object, but behind what the row counts."""

    add: Sequence[Extent] = ()
    remove: Sequence[Extent] = ()


async def turn(storage: MultipartStorage, metadata: Metadata, upload: Upload, early: Sequence[Extent]) -> Turned:
    """Make a piece of the multipart upload that the row names. Fenced, BytesLost.

    First the row says that it has no number left: whoever takes the upload over from then on turns it before using it, and
    whoever did so before is not disturbed, for then this is fenced.
    """
    assert upload.multipart is not None
    assert upload.object_key is not None
    await metadata.reserve(upload.id, upload.epoch, TURN_NUMBERS)
    counted = await metadata.extents(upload.id, ExtentKind.PART)
    parts = [*counted, *early]
    if not parts:
        await storage.abort(upload.object_key, upload.multipart)
        await metadata.turn(upload.id, upload.epoch, upload.multipart, None)
        return Turned()
    await complete(storage, upload.object_key, upload.multipart, parts)
    whole = piece_of(parts)
    named = replace(whole, length=sum(part.length for part in counted))  # perhaps 0: what no row names, the sweep takes
    await metadata.turn(upload.id, upload.epoch, upload.multipart, named)
    return Turned([whole], [named]) if early else Turned()


async def complete(storage: MultipartStorage, key: str, multipart: str | None, parts: Sequence[Extent]) -> int:
    """Complete a multipart upload and return its object's size, once the object was seen with the bytes of these parts.

    A lost answer looks like an unknown multipart upload; the key is this one's own, so the size is proof. An object with
    more bytes was completed with early parts behind these, which were never counted. *multipart* None: it was completed
    before. BytesLost.
    """
    least = sum(part.length for part in parts)
    unknown: BytesLost | None = None
    if multipart is not None:
        try:
            await storage.complete(key, multipart, [Part(part.number, part.etag) for part in parts])
        except BytesLost as error:
            unknown = error
    size = await storage.size(key)
    if size is None or size < least:
        msg = "A completed piece is not there, or is too short."
        raise BytesLost(msg) from unknown
    return size


def piece_of(parts: Sequence[Extent]) -> Extent:
    """Return these parts of one multipart upload as the piece that they become."""
    return Extent(ExtentKind.PIECE, parts[0].start, sum(part.length for part in parts), parts[0].key)
