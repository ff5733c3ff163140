"""One chunk on its way: in memory while the budget allows, and in storage under the name of its intent.

A chunk that is whole in memory is one object. A longer one travels in objects of 8 MiB as it comes, and where memory is
short, whatever is there travels: S3 takes no object whose size is not known before its first byte.
"""

import asyncio
import logging
import uuid
from types import TracebackType
from typing import Self

from tusfm.domain.errors import Fenced, StorageUnavailable, Unavailable
from tusfm.domain.files import Chunk, chunk_key
from tusfm.engine.budget import Account, Budget, add
from tusfm.engine.rules import Rules
from tusfm.ports.chunking import Chunking
from tusfm.ports.storage import Storage

MIB = 1024 * 1024
WHOLE_BYTES = 16 * MIB  # a chunk up to here is one object, if memory allows
OBJECT_BYTES = 8 * MIB
TRAVEL_BYTES = 5 * MIB  # shorter objects cannot be copied inside the storage, and are read back

log = logging.getLogger(__name__)


class Incoming:
    """An async context manager; what was not placed when it ends leaves nothing behind."""

    def __init__(self, metadata: Chunking, storage: Storage, budget: Budget, rules: Rules) -> None:
        """Use Chunks.receive."""
        self._metadata = metadata
        self._storage = storage
        self._budget = budget
        self._rules = rules
        self._account: Account
        self._name = uuid.uuid4().hex
        self._pieces: list[bytes] = []
        self._held = 0
        self._sizes: list[int] = []
        self._flight: asyncio.Task[None] | None = None
        self._placed = False
        self.size = 0
        """Bytes that were taken."""

    async def __aenter__(self) -> Self:
        """Write the intent, and open an account, which somebody closes from now on. MetadataUnavailable."""
        await self._metadata.intend(self._name)
        self._account = self._budget.account(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Give the memory back; take away what was not placed. What cannot be taken away now is left to the sweep."""
        try:
            if self._flight is not None:
                await asyncio.wait([self._flight])
                self._flight.cancelled() or self._flight.exception()
            if not self._placed and await self._metadata.forsake(self._name):
                await self._discard(self._chunk(0))
        except Unavailable as away:
            log.info("chunk %s is left to the sweep: %s", self._name, away)
        finally:
            self._budget.close(self._account)

    # What the budget asks

    @property
    def wish(self) -> int:
        """Bytes until the chunk is whole, as far as anybody knows."""
        return max(0, min(self._rules.chunk_size, WHOLE_BYTES) - self._held)

    @property
    def most(self) -> int:
        """What is gathered, and an object on its way."""
        return WHOLE_BYTES + OBJECT_BYTES

    def travel(self) -> None:
        """Send what is long enough to be copied later."""
        if self._held >= TRAVEL_BYTES:
            self.spill()

    def shed(self) -> None:
        """Nothing is kept that storage has."""

    def spill(self) -> None:
        """Send whatever there is."""
        if self._held and self._flight is None:
            self._launch(self._held)

    # What the face asks

    async def take(self, piece: bytes) -> None:
        """Take the next bytes, and wait until there is room for more. StorageUnavailable."""
        add(self._pieces, piece)
        self._held += len(piece)
        self.size += len(piece)
        self._account.hold(len(piece))
        if self._held > WHOLE_BYTES or (self._flight is not None and self._flight.done()):
            await self._landed()
        if self._held > WHOLE_BYTES:
            self._launch(OBJECT_BYTES)
        if self._account.crowded:
            await self._account.room()

    async def place(self, upload_id: str, index: int) -> None:
        """Make the chunk durable and count it as this upload's at this index, in the place of one begun before.

        NotFound when the upload was never begun, has ended, or is finished; Unavailable.
        """
        await self._landed()
        if self._held:
            self._launch(self._held)
            await self._landed()
        try:
            needless = await self._metadata.place(upload_id, self._chunk(index), self._rules.expire_after)
        except Fenced as error:
            raise StorageUnavailable("a chunk that took longer than a day is gone") from error
        self._placed = True
        if needless is not None:
            try:
                await self._discard(needless)
            except Unavailable as error:
                log.info("chunk %s is left to the sweep: %s", needless.name, error)

    def _chunk(self, index: int) -> Chunk:
        return Chunk(index, self._name, tuple(self._sizes))

    async def _discard(self, chunk: Chunk) -> None:
        if chunk.keys:
            await self._storage.delete(chunk.keys)

    def _launch(self, size: int) -> None:
        """Send the first bytes as an object."""
        pieces = self._cut(size)
        key = chunk_key(self._name, len(self._sizes))
        self._sizes.append(size)
        self._flight = asyncio.create_task(self._put(key, pieces, size))

    def _cut(self, size: int) -> list[bytes]:
        taken: list[bytes] = []
        self._held -= size
        while size:
            piece = self._pieces.pop(0)
            taken.append(piece[:size])
            if len(piece) > size:
                self._pieces.insert(0, piece[size:])
            size -= len(taken[-1])
        return taken

    async def _put(self, key: str, pieces: list[bytes], size: int) -> None:
        try:
            await self._storage.put(key, pieces)
        finally:
            pieces.clear()
            self._account.free(size)

    async def _landed(self) -> None:
        """Wait for the object on its way; what storage said of it ends the chunk."""
        if self._flight is not None:
            await self._flight
            self._flight = None
