"""What a writer of one upload must be able to do, and what all of them share.

A writer belongs to one claim, and so to one epoch. It takes the bytes of one request in order, makes them durable and
moves the offset. How depends on the storage: `segments` for one that appends, `parts` for one whose objects are written once.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tusfm.domain.errors import Fenced
from tusfm.domain.upload import Extent, Role, State, Upload
from tusfm.engine.budget import Budget
from tusfm.engine.events import completion, finalize
from tusfm.ports.metadata import Commit, Message, Metadata
from tusfm.ports.storage import Source


class Writer(Protocol):
    """The storage's side of a request. Its calls come one at a time, but for feed, which may come at any time."""

    @property
    def offset(self) -> int:
        """The committed offset, in bytes."""

    @property
    def fed(self) -> int:
        """The offset that will be reached when all that was fed is committed."""

    def feed(self, piece: bytes) -> bool:
        """Take bytes; True when there are enough to do something with."""

    async def room(self) -> None:
        """Wait until the memory budget has room for more."""

    @property
    def crowded(self) -> bool:
        """Whether the sender should wait for room."""

    async def advance(self) -> None:
        """Send on its way what is full."""

    async def checkpoint(self) -> None:
        """Make all that was fed durable and move the offset, but leave the last byte of the upload to finish."""

    @property
    def due(self) -> float:
        """When something has to be done for the storage's sake, by the loop's clock; `inf` if nothing."""

    async def refresh(self) -> None:
        """Do that, if it is due."""

    async def finish(self, length: int | None) -> None:
        """The body ended well: the same, and more: end the upload if it is whole, and let it go.

        *length* is a length that takes effect with this commit.
        """

    async def close(self) -> None:
        """Release memory and files; what was not committed does not count. Idempotent."""


@dataclass(slots=True)
class Position:
    """The row as its writer knows it: the offset moves with each commit, under one epoch."""

    upload: Upload
    metadata: Metadata
    expires_in: float | None
    offset: int = 0
    released: bool = False

    def __post_init__(self) -> None:
        """Begin where the claim found the upload."""
        self.offset = self.upload.offset

    async def commit(self, change: "Change", *, releases: bool = False) -> None:
        """Move the offset to *change.reached* with the extents of the change. Fenced."""
        ends = change.state is not None
        await self.metadata.commit(
            Commit(
                id=self.upload.id,
                epoch=self.upload.epoch,
                offset=self.offset,
                reached=change.reached,
                add=change.add,
                remove=change.remove,
                length=change.length,
                state=change.state,
                object_key=change.object_key,
                reserve=change.reserve,
                releases=releases or ends,
                settles=self.upload.charged is not None and (ends or self.upload.length is None),
                seizes=change.seizes,
                expires_in=self.lifetime(change.state),
                messages=self.messages(change),
            ),
        )
        self.offset = change.reached
        self.released = releases or ends

    def lifetime(self, state: State | None) -> float | None:
        """Finished files stay; unfinished uploads and partials expire (E1, N7)."""
        if state is not None and self.upload.role is not Role.PARTIAL:
            return None
        return self.expires_in

    def messages(self, change: "Change") -> Sequence[Message]:
        """Return what the outbox gets with this change."""
        if change.state is State.FINALIZING:
            return (finalize(self.upload.id),)
        if change.state is State.AVAILABLE:
            return completion(self.upload, change.reached)
        return ()

    async def release(self) -> None:
        """Say that the writer is gone; being fenced means the same."""
        self.released = True
        try:
            await self.metadata.release(self.upload.id, self.upload.epoch)
        except Fenced:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one commit changes; see ports.metadata.Commit."""

    reached: int
    add: Sequence[Extent] = ()
    remove: Sequence[Extent] = ()
    length: int | None = None
    state: State | None = None
    object_key: str | None = None
    reserve: int = 0
    seizes: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """A small whole body, durable and not committed: the change that counts it, and what to do afterwards.

    *keys* are objects that nobody needs when the commit finds that somebody else was first; *counted* runs when it did not;
    *done* runs in any case.
    """

    change: Change
    keys: Sequence[str] = ()
    counted: Callable[[Position], None] = lambda _: None
    done: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Assembled:
    """The object of an upload, and what it was made of that nobody needs once it is published."""

    key: str
    needless: Sequence[str] = ()


class Layout(Protocol):
    """How the bytes of an upload lie in one shape of storage, from the first to the object."""

    budget: Budget
    """The memory of this process."""

    age: float | None
    """Seconds after which what an idle upload consists of has to be refreshed."""

    small: int
    """Bytes up to which a body that came whole is placed without a claim."""

    def writer(self, position: Position, extents: list[Extent], *, commits: bool, wake: Callable[[], None]) -> Writer:
        """Make the writer of a claim."""

    async def place(self, upload: Upload, pieces: Sequence[bytes], total: int | None) -> Placement | None:
        """Make a small whole body durable behind the upload's offset; None when that needs a claim.

        *total* is the upload's length as it will be. The commit of the change seizes the next epoch, which the keys bear
        already, with a random part: two may try at once.
        """

    async def settle(self, upload_id: str) -> None:
        """Before a claim: end what goes on in this process beside requests, which the claim would make vain."""

    async def close(self) -> None:
        """End all that goes on beside requests."""

    async def refresh(self, upload: Upload) -> None:
        """Do for an idle upload, whose epoch the caller has raised, what its age asks for."""

    async def assemble(self, upload: Upload) -> Assembled:
        """Make the object of a `finalizing` upload, and see that it is there with the right size.

        Idempotent. BytesLost when bytes are gone, SegmentBusy or Unavailable when it must be tried again.
        """

    async def compose(self, upload: Upload, sources: Sequence[Source]) -> str:
        """Make the object of a final out of its partials' objects, inside the storage; as for assemble."""

    async def compose_into(self, upload: Upload, sources: Sequence[Source], key: str, content_type: str) -> None:
        """Make the object of a file in chunks, under a key that all attempts share.

        The attempt before, which the row names, is ended first; this one's is recorded before anything is copied, and it
        alone writes the key. BytesLost: a source is gone, or the attempt was ended; begin anew. Fenced.
        """

    async def remove(self, upload: Upload, *, thorough: bool) -> None:
        """Delete all that the row names; *thorough*: what late writers and lost answers left of the upload, too."""

    async def discard(self, keys: Sequence[str]) -> None:
        """Delete objects that no row names."""
