"""Writing to a storage of write-once objects: full parts travel while more arrives, the rest becomes tails.

The *open stretch* is what lies behind the last part: the bytes of committed tails, and those that no object holds yet.
As soon as it fills a part it travels as one (promise 7: each byte is written at most twice and read back at most once).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from tusfm.domain.upload import Extent, ExtentKind, State
from tusfm.engine.budget import Account, Budget, add
from tusfm.engine.multiparts import IN_FLIGHT, Multiparts, object_key, part_size
from tusfm.engine.stretch import Kept, Stretch
from tusfm.engine.writing import Change, Position
from tusfm.ports.storage import MultipartStorage

MOST_TAILS = 256


def tail_key(upload_id: str, epoch: int, sequence: int | str) -> str:
    """Name a tail; the sequence never repeats within an epoch."""
    return f"work/{upload_id}/t/{epoch}-{sequence}"


@dataclass(slots=True)
class Flight:
    """A part on its way: its extent lacks the etag, *gathered* are tails that it makes needless."""

    task: asyncio.Task[str]
    extent: Extent
    gathered: list[Extent]
    held: int


class PartWriter:
    """Writer for one claim on a multipart storage."""

    def __init__(  # noqa: PLR0913  what a layout shares with its writers
        self,
        position: Position,
        storage: MultipartStorage,
        tails: list[Extent],
        budget: Budget,
        kept: Kept,
        *,
        commits: bool,
        wake: Callable[[], None],
        age: float,
    ) -> None:
        """Take the claim's row and tails. *commits* False: nothing counts before finish (a checksum is to be checked)."""
        self._position = position
        self._storage = storage
        self._multiparts = Multiparts(position, storage, age)
        self._id, self._epoch = position.upload.id, position.upload.epoch
        self._commits = commits
        self._wake = wake
        self._part_size = part_size(position.upload.length)
        self._budget, self._kept = budget, kept
        self._account: Account = budget.account(self)
        base = tails[0].start if tails else position.offset
        self._stretch = self._resume(base, tails)
        self._account.hold(self._stretch.held)
        self._durable = position.offset  # what storage has confirmed without a gap
        self._landed: list[Extent] = []  # durable and not committed
        self._needless: list[Extent] = []  # committed tails whose bytes a landed part has
        self._trash: list[str] = []  # keys that were never committed and no longer will be
        self._flights: deque[Flight] = deque()
        self._sequence = 0
        self._short = self._spilling = False

    def _resume(self, base: int, tails: list[Extent]) -> Stretch:
        kept = self._kept.take(self._id)
        if kept and kept.base == base and kept.end == self._position.offset:
            kept.tails = list(tails)
            return kept
        return Stretch(base, self._position.offset, self._position.offset, [], list(tails))

    # What the budget asks

    @property
    def wish(self) -> int:
        """Bytes until the stretch fills a part."""
        return max(0, self._part_size - self._stretch.size)

    @property
    def most(self) -> int:
        """A part that fills up, and those in flight."""
        return (IN_FLIGHT + 1) * self._part_size

    def travel(self) -> None:
        """Let the stretch travel as a short part, if it is long enough for one."""
        if self._stretch.size >= self._storage.min_part and len(self._flights) < IN_FLIGHT:
            self._short = True
            self._wake()

    def shed(self) -> None:
        """Forget bytes that tails hold; they are read back when they are gathered."""
        if self._stretch.tails:
            self._account.free(self._stretch.drop(self._durable))

    def spill(self) -> None:
        """Make an early tail and forget its bytes."""
        self._spilling = True
        self._wake()

    # What the receiver asks

    @property
    def offset(self) -> int:
        """The committed offset."""
        return self._position.offset

    @property
    def fed(self) -> int:
        """The offset behind all that was fed."""
        return self._stretch.end

    def feed(self, piece: bytes) -> bool:
        """Take bytes; True when a part is full."""
        add(self._stretch.pieces, piece)
        self._stretch.end += len(piece)
        self._account.hold(len(piece))
        return self._stretch.size >= self._part_size

    @property
    def crowded(self) -> bool:
        """Whether the sender should wait."""
        return self._account.crowded

    async def room(self) -> None:
        """Wait until more may be fed."""
        await self._account.room()

    async def advance(self) -> None:
        """Commit what has landed, and send what is full."""
        await self._land()
        least = self._storage.min_part if self._short else self._part_size
        while self._stretch.size >= least and len(self._flights) < IN_FLIGHT and not self._whole:
            self._short = False
            await self._send()
        if self._spilling:
            self._spilling = False
            await self._spill()

    async def checkpoint(self) -> None:
        """Make everything that was fed durable and commit it, as parts where it is long enough: a tail is written again."""
        fed = self.fed  # more may come meanwhile, and is not waited for
        await self._land(everything=True)
        if not self._commits:
            return
        while self._durable < fed and self._stretch.size >= self._storage.min_part and not self._whole:
            await self._send()
            await self._land(everything=True)
        if self._durable < fed and not self._whole:
            await self._tail()
            await self._commit()

    async def finish(self, length: int | None) -> None:
        """Commit what is left and let the upload go; when it is whole it is `available` or `finalizing`."""
        await self._land(everything=True)
        total = length if length is not None else self._position.upload.length
        if self.fed == total:
            await self._end(length)
        elif self.fed == self.offset:
            await self._position.release()
        else:
            await self._send_all(self._storage.min_part)
            if self.fed > self._durable:
                await self._tail()
            await self._commit(length=length, releases=True)
            self._keep()

    async def close(self) -> None:
        """Let parts that are still on their way end, and give the memory back."""
        if self._flights:
            await asyncio.wait([flight.task for flight in self._flights])
            for flight in self._flights:
                flight.task.cancelled() or flight.task.exception()
            self._flights.clear()
        self._budget.close(self._account)

    @property
    def due(self) -> float:
        """When the multipart upload is too old."""
        return self._multiparts.due

    async def refresh(self) -> None:
        """Make a piece of it."""
        if self._multiparts.worn:
            await self._turn()

    # Parts

    @property
    def _whole(self) -> bool:
        return self.fed == self._position.upload.length

    async def _send(self) -> None:
        """Send the beginning of the open stretch as a part."""
        await self.refresh()
        number = await self._multiparts.number()
        stretch = self._stretch.cut(self._part_size)
        extent = Extent(ExtentKind.PART, stretch.base, stretch.size, self._multiparts.key, number)
        task = asyncio.create_task(self._put(number, stretch))
        task.add_done_callback(lambda _: self._wake())
        self._flights.append(Flight(task, extent, stretch.tails, stretch.held))

    async def _put(self, number: int, stretch: Stretch) -> str:
        async with self._gathered(stretch) as pieces:
            return await self._multiparts.put(number, pieces)

    async def _send_all(self, least: int) -> None:
        """Send parts until less than *least* bytes are left, and take them all."""
        while self._stretch.size >= least:
            await self._send()
            if len(self._flights) >= IN_FLIGHT:
                await asyncio.wait([self._flights[0].task])
                await self._land()
        await self._land(everything=True, commit=False)

    @contextlib.asynccontextmanager
    async def _gathered(self, stretch: Stretch) -> AsyncIterator[list[bytes]]:
        """Give all bytes of a stretch that was cut off; what memory lacks is read back, and let go once all is sent."""
        lost = stretch.memory - stretch.base
        if not lost:
            yield stretch.pieces
            return
        pieces: list[bytes] = []
        async with self._budget.gathering(lost):
            for tail in stretch.tails:
                least = min(tail.end, stretch.memory) - tail.start  # one that was gathered of many may reach into memory
                if least > 0:
                    pieces += [piece async for piece in self._storage.read(tail.key, 0, least)]
            pieces += stretch.pieces
            try:
                yield pieces
            finally:
                pieces.clear()

    async def _turn(self) -> None:
        """Go on with another multipart upload; what landed and is not committed yet becomes part of the piece."""
        await self._land(everything=True)
        await self._land(everything=True, commit=False)
        early = [one for one in self._landed if one.kind is ExtentKind.PART]
        turned = await self._multiparts.turn(early)
        self._landed = [*turned.add, *(one for one in self._landed if one not in early)]
        self._needless += turned.remove

    async def _land(self, *, everything: bool = False, commit: bool = True) -> None:
        """Take parts that storage has confirmed, in order; a part behind a missing one does not count.

        The upload's last part, which may have travelled because it was full, waits for the commit that changes the state.
        """
        flights = self._flights
        while flights and (everything or flights[0].task.done()):
            if commit and flights[0].extent.end == self._position.upload.length:
                break
            etag = await flights[0].task
            flight = flights.popleft()
            self._account.free(flight.held)
            self._took(replace(flight.extent, etag=etag), flight.gathered)
        if commit and self._commits and self._landed:
            await self._commit()

    def _took(self, extent: Extent, gathered: Sequence[Extent]) -> None:
        self._durable = extent.end
        never = [one for one in gathered if one in self._landed]
        self._trash += [one.key for one in never]
        self._needless += [one for one in gathered if one not in never]
        self._landed = [*(one for one in self._landed if one not in never), extent]

    # Tails

    async def _tail(self) -> None:
        """Put the bytes that no object holds yet into a tail of their own; many tails become one."""
        stretch = self._stretch
        if len(stretch.tails) >= MOST_TAILS:
            await self._gather()
            return
        tail = self._next_tail(self._durable, stretch.end)
        await self._storage.put(tail.key, stretch.after(self._durable))
        self._took(tail, ())
        stretch.tails = [*stretch.tails, tail]

    async def _gather(self) -> None:
        many = self._stretch.cut(self._stretch.size)
        tail = self._next_tail(many.base, many.end)
        async with self._gathered(many) as pieces:
            await self._storage.put(tail.key, pieces)
        self._took(tail, many.tails)
        many.tails = [tail]
        self._stretch = many.followed(self._stretch)

    def _next_tail(self, start: int, end: int) -> Extent:
        self._sequence += 1
        return Extent(ExtentKind.TAIL, start, end - start, tail_key(self._id, self._epoch, self._sequence))

    async def _spill(self) -> None:
        """Memory is short: a tail now, and its bytes leave memory; with a checksum it waits for its commit."""
        await self._land(everything=True)
        if self.fed > self._durable and not self._whole:
            await self._tail()
            if self._commits:
                await self._commit()
        self._account.free(self._stretch.drop(self._durable))

    # Commits

    async def _commit(
        self,
        *,
        length: int | None = None,
        state: State | None = None,
        releases: bool = False,
        key: str | None = None,
    ) -> None:
        """Commit what has landed, then delete the tails that it made needless."""
        reserve = self._multiparts.numbers.spare() if releases else self._multiparts.numbers.order() if self._flights else 0
        gone, trash = self._needless, self._trash
        change = Change(
            reached=self._durable,
            add=self._landed,
            remove=gone,
            length=length,
            state=state,
            object_key=key,
            reserve=0 if state else reserve,
        )
        await self._position.commit(change, releases=releases)
        if not state:
            self._multiparts.numbers.confirmed()
        self._landed, self._needless, self._trash = [], [], []
        tails = [one.key for one in gone if one.kind is ExtentKind.TAIL]
        if tails or trash:
            await self._storage.delete([*tails, *trash])

    async def _end(self, length: int | None) -> None:
        """The upload is whole: its last part, or one object when nothing was ever sent as a part, not even in vain."""
        if self._stretch.base == 0 and not self._multiparts.key and not self._landed:
            await self._one_shot(length)
            return
        await self._send_all(1)
        await self._commit(length=length, state=State.FINALIZING, releases=True)

    async def _one_shot(self, length: int | None) -> None:
        """Everything fits into one object: no multipart upload, no task (promise 7)."""
        key = object_key(self._id, self._epoch)
        stretch = self._stretch.cut(self._stretch.size)
        async with self._gathered(stretch) as pieces:
            await self._storage.put(key, pieces)
        self._needless += stretch.tails
        self._durable = self.fed
        await self._commit(length=length, state=State.AVAILABLE, releases=True, key=key)

    def _keep(self) -> None:
        """Leave the bytes of the tails in memory for the next PATCH."""
        stretch = self._stretch
        if stretch.tails and stretch.held:
            self._account.free(stretch.held)
            stretch.epoch = self._epoch
            self._kept.put(self._id, stretch)
            self._stretch = Stretch(stretch.end, stretch.end, stretch.end)
