"""From the last byte to the object, and what comes in between."""

import asyncio
from pathlib import Path

from tests.engine.bodies import PlayedBody, pieces_of
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.domain.upload import State
from tusfm.engine.appending import Append
from tusfm.engine.creating import Creation
from tusfm.ports.storage import Part

SIZE = 12_000_000


class StuckStorage(MemoryStorage):
    """A storage that takes its time over completing, until it is told to go on."""

    def __init__(self) -> None:
        """Begin stuck."""
        super().__init__()
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def complete(self, key: str, multipart: str, parts: list[Part]) -> None:  # type: ignore[override]
        """Wait, then complete."""
        self.reached.set()
        await self.go_on.wait()
        await super().complete(key, multipart, parts)


async def test_a_process_that_stops_lets_its_leases_go(tmp_path: Path) -> None:
    """An upload that was being finished when its process was stopped is finished by the next one, at once."""
    storage = StuckStorage()
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            made = await engine.uploads.create(Creation(length=SIZE))
            body = PlayedBody(pieces_of(b"z" * SIZE, 262_144), size=SIZE)
            await engine.uploads.append(Append(id=made.id, offset=0, body=body))
            await asyncio.wait_for(storage.reached.wait(), 10)
        storage.go_on.set()
        async with running(environ, storage) as engine:
            stored = await engine.uploads.open(made.id)
            assert stored.size == SIZE
            upload = await engine.uploads.find(made.id)
    assert upload.state is State.AVAILABLE
