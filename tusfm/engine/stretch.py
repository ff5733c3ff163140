"""The open stretch of an upload on a storage of write-once objects: what lies behind its last part."""

from dataclasses import dataclass, field

from tusfm.domain.upload import Extent, Upload
from tusfm.engine.budget import Budget

ENTRY_BYTES = 1024  # that it takes to keep a stretch, however few it holds


@dataclass(slots=True)
class Stretch:
    """The open stretch [base, end): *pieces* hold [memory, end) of it, *tails* its committed part as *epoch* left it."""

    base: int
    end: int
    memory: int
    pieces: list[bytes] = field(default_factory=list)
    tails: list[Extent] = field(default_factory=list)
    epoch: int | None = None

    @property
    def size(self) -> int:
        """Bytes of the stretch."""
        return self.end - self.base

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return self.end - self.memory

    def after(self, offset: int) -> list[bytes]:
        """Return the pieces behind the offset, of the one that it lies in the rest."""
        at = self.memory
        for index, piece in enumerate(self.pieces):
            if at + len(piece) > offset:
                return [piece[offset - at :], *self.pieces[index + 1 :]]
            at += len(piece)
        return []

    def cut(self, size: int) -> "Stretch":
        """Take off what makes a part of this size, at the next end of a piece and not within a tail; it stays the rest."""
        least = max(self.base + size, self.tails[-1].end if self.tails else 0)
        end, count = self.memory, 0
        while end < least and count < len(self.pieces):
            end += len(self.pieces[count])
            count += 1
        first = Stretch(self.base, end, self.memory, self.pieces[:count], self.tails)
        self.base = self.memory = end
        self.pieces, self.tails = self.pieces[count:], []
        return first

    def followed(self, rest: "Stretch") -> "Stretch":
        """Put back what came after it was cut off."""
        return Stretch(self.base, rest.end, self.memory, self.pieces + rest.pieces, self.tails + rest.tails)

    def drop(self, offset: int) -> int:
        """Forget what lies before the offset; returns the bytes freed."""
        freed = max(0, offset - self.memory)
        if freed:
            self.pieces = self.after(offset)
            self.memory = offset
        return freed


class Kept:
    """Stretches of uploads that nobody writes just now: the next PATCH on this process reads nothing back (promise 7)."""

    def __init__(self, budget: Budget) -> None:
        """Keep them within the budget, and give them up first."""
        self._budget = budget
        self._stretches: dict[str, Stretch] = {}

    def put(self, upload_id: str, stretch: Stretch) -> None:
        """Keep the bytes of committed tails."""
        self.take(upload_id)
        self._stretches[upload_id] = stretch
        self._budget.used += stretch.held + ENTRY_BYTES
        self._budget.keep(upload_id, lambda: self._drop(upload_id))

    def of(self, upload: Upload) -> Stretch | None:
        """Return an upload's stretch, if its row's epoch tells that nobody has written since it was kept."""
        kept = self._stretches.get(upload.id)
        return kept if kept and (kept.epoch, kept.end) == (upload.epoch, upload.offset) else None

    def take(self, upload_id: str) -> Stretch | None:
        """Hand the bytes over, or nothing."""
        self._budget.forget(upload_id)
        return self._drop(upload_id)

    def _drop(self, upload_id: str) -> Stretch | None:
        stretch = self._stretches.pop(upload_id, None)
        if stretch:
            self._budget.used -= stretch.held + ENTRY_BYTES
        return stretch
