"""Bodies as tests play them."""

import asyncio
from collections.abc import Callable, Sequence

from tusfm.domain.errors import BodyBroken


class PlayedBody:
    """Hands out pieces, one a read; ends well, breaks off, or waits for ever, as it is told."""

    def __init__(self, pieces: Sequence[bytes], *, size: int | None = None, end: str = "well") -> None:
        """Take the pieces, the announced size, and the end: "well", "broken" or "silent"."""
        self._pieces = list(pieces)
        self.size = size
        self._end = end
        self._cut = asyncio.Event()
        self.paused = False

    @property
    def left(self) -> int:
        """How many pieces were not handed out."""
        return len(self._pieces)

    async def read(self) -> bytes:
        """Return the next piece."""
        await asyncio.sleep(0)
        if self._pieces and not self._cut.is_set():
            return self._pieces.pop(0)
        if self._end == "well" and not self._cut.is_set():
            return b""
        if self._end == "silent":
            await self._cut.wait()
        raise BodyBroken("the body ended before its end")

    def arrived(self) -> list[bytes]:
        """Nothing waits behind the pieces."""
        return []

    def pause(self) -> None:
        """Remember it."""
        self.paused = True

    def resume(self) -> None:
        """Forget it."""
        self.paused = False

    def cut(self) -> None:
        """End a silent body."""
        self._cut.set()


class TricklingBody(PlayedBody):
    """Hands out a piece now and then, so that it never stalls."""

    async def read(self) -> bytes:
        """Wait a tenth of a second for the next piece."""
        await asyncio.sleep(0.1)
        return await super().read()


class WaitingBody(PlayedBody):
    """Hands out its pieces, and ends once something has happened."""

    def __init__(self, pieces: Sequence[bytes], *, size: int | None, until: Callable[[], bool]) -> None:
        """Take what to hand out, and what to wait for."""
        super().__init__(pieces, size=size)
        self._until = until

    async def read(self) -> bytes:
        """Return the next piece; the end has to wait."""
        while not self._pieces and not self._until():
            await asyncio.sleep(0.05)
        return await super().read()


def pieces_of(data: bytes, step: int) -> list[bytes]:
    """Cut bytes as a socket would."""
    return [data[start : start + step] for start in range(0, len(data), step)]
