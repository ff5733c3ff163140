"""From the last byte to the object, and what comes in between."""

import asyncio
from pathlib import Path

import pytest

from tests.engine.bodies import PlayedBody, pieces_of
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm import wiring
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.upload import State
from tusfm.engine import parts
from tusfm.engine.appending import Append
from tusfm.engine.creating import Creation
from tusfm.ports.storage import Part
from tusfm.settings import load

SIZE = 12_000_000


class StuckStorage(MemoryStorage):
    """A storage that takes its time over completing, until it is told to go on."""

    def __init__(self) -> None:
        """Begin stuck."""
        super().__init__()
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def complete(self, key: str, multipart: str, of: list[Part]) -> None:  # type: ignore[override]
        """Wait, then complete."""
        self.reached.set()
        await self.go_on.wait()
        await super().complete(key, multipart, of)


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


async def test_a_process_that_stops_in_the_moment_of_a_lease_lets_it_go(tmp_path: Path) -> None:
    """However soon a process is stopped after its start, an upload that it would have finished is free for the next one."""
    storage = StuckStorage()
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            made = await engine.uploads.create(Creation(length=SIZE))
            body = PlayedBody(pieces_of(b"z" * SIZE, 262_144), size=SIZE)
            await engine.uploads.append(Append(id=made.id, offset=0, body=body))
        for moment in range(40):
            async with running(environ, storage) as engine:
                await asyncio.sleep(moment * 0.0003)
            metadata = SqlMetadata(wiring.database_url(load(environ)), "another")
            assert await metadata.unfinished(1) == [made.id], moment
            await metadata.close()


async def test_worn_multipart_uploads_become_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A multipart upload that has given out its numbers ends as a piece, and the object is composed of the pieces."""
    monkeypatch.setattr(parts, "TURN_NUMBERS", 2)
    storage = MemoryStorage()
    data = bytes(range(256)) * 200_000
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            made = await engine.uploads.create(Creation(length=len(data)))
            for start in range(0, len(data), 20_000_000):
                step = data[start : start + 20_000_000]
                body = PlayedBody(pieces_of(step, 262_144), size=len(step))
                await engine.uploads.append(Append(id=made.id, offset=start, body=body))
            stored = await engine.uploads.open(made.id)
            assert b"".join([piece async for piece in stored.read(0, stored.size)]) == data
            assert storage.calls.count("complete") > 2
            assert storage.calls.count("copy") > 1
            await engine.uploads.terminate(made.id)
            await engine.sweep.sweep()
    assert [key for key in storage.objects if "marker" not in key] == []
    assert storage.unfinished == {}
