"""Bodies that come in the smallest of pieces cost the memory of their bytes, and not that of so many pieces."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.engine.bodies import PlayedBody
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.engine.appending import PROMPT_SECONDS, Append
from tusfm.engine.checksums import Checksum
from tusfm.engine.creating import Creation
from tusfm.wiring import Engine

COUNT = 5000
CRUMBS = [b"%04d" % number for number in range(COUNT)]
DATA = b"".join(CRUMBS)
MOST_BYTES = 18 * len(DATA)  # pieces of their own take over thirty times their bytes


class Crumbling(PlayedBody):
    """Hands out new pieces of four bytes, as a socket would, late enough for the request to be no small one."""

    async def read(self) -> bytes:
        """Make the next piece."""
        if len(self._pieces) == COUNT:
            await asyncio.sleep(2 * PROMPT_SECONDS)
        return bytes(bytearray(self._pieces.pop())) if self._pieces else await super().read()


async def patch(engine: Engine, checksum: Checksum | None) -> None:
    """Send them in one PATCH."""
    made = await engine.uploads.create(Creation(length=None))
    body = Crumbling(CRUMBS[::-1])
    assert (await engine.uploads.append(Append(id=made.id, offset=0, body=body, checksum=checksum))).offset == len(DATA)


async def chunk(engine: Engine, _: Checksum | None) -> None:
    """Send them as a file's chunk."""
    upload_id = await engine.chunks.begin()
    async with engine.chunks.receive() as incoming:
        for crumb in CRUMBS:
            await incoming.take(bytes(bytearray(crumb)))
        await incoming.place(upload_id, 0)


@pytest.mark.parametrize(
    ("send", "shape", "algorithm"),
    [(patch, "directory", None), (patch, "objects", "md5"), (chunk, "objects", None)],
    ids=["segments", "parts and a checksum", "a chunk"],
)
async def test_crumbs_cost_their_bytes(
    tmp_path: Path,
    send: Callable[[Engine, Checksum | None], Awaitable[None]],
    shape: str,
    algorithm: str | None,
) -> None:
    """Thousands of pieces of four bytes take no more than a few times their bytes, wherever they are held."""
    checksum = Checksum(algorithm, hashlib.new(algorithm, DATA).digest()) if algorithm else None
    with migrated(tmp_path) as environ:
        async with running(environ, MemoryStorage() if shape == "objects" else None) as engine:
            await send(engine, checksum)  # what is made once is made
            tracemalloc.start()
            try:
                await send(engine, checksum)
                taken = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
    assert taken < MOST_BYTES, taken
