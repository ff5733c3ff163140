"""Bodies of requests, as they come over a network."""

import asyncio

from tests.simulation.world import World
from tusfm.domain.errors import BodyBroken


class Stream:
    """A body under way: pieces with gaps between them, and an end that is well, broken or silent."""

    def __init__(self, world: World, data: bytes, *, announced: int | None, end: str, slow: float) -> None:
        """Cut the data into pieces; *slow* is the longest gap in seconds."""
        self.size = announced
        self._loop = world.loop
        self._end = end
        self._bell: asyncio.Future[None] | None = None
        self._cut = False
        random = world.random
        step = random.choice((7, 40, 100, 1000))
        self._pieces = [data[at : at + step] for at in range(0, len(data), step)]
        self._gaps = [random.random() * slow if random.random() < 0.5 else 0.0 for _ in self._pieces]

    async def read(self) -> bytes:
        """Wait for the next piece."""
        if self._pieces and not self._cut and self._gaps[0]:
            await self._wait(self._gaps[0])
        if self._pieces and not self._cut:
            self._gaps.pop(0)
            return self._pieces.pop(0)
        if self._end == "silent" and not self._cut:
            await self._wait(None)
        if self._end == "well" and not self._cut:
            return b""
        raise BodyBroken("the body ended before its end")

    async def _wait(self, seconds: float | None) -> None:
        bell = self._bell = self._loop.create_future()
        timer = None if seconds is None else self._loop.call_later(seconds, self._ring, bell)
        try:
            await bell
        finally:
            if timer is not None:
                timer.cancel()

    def _ring(self, bell: asyncio.Future[None]) -> None:
        if not bell.done():
            bell.set_result(None)

    def arrived(self) -> list[bytes]:
        """Nothing waits behind the pieces."""
        return []

    def pause(self) -> None:
        """A sender that is not read waits."""

    def resume(self) -> None:
        """It goes on."""

    def cut(self) -> None:
        """End the connection."""
        self._cut = True
        if self._bell is not None:
            self._ring(self._bell)
