"""From the last byte to the object, and what comes in between."""

import asyncio
from pathlib import Path

import pytest

from tests.engine.bodies import PlayedBody, pieces_of
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm import wiring
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import StorageUnavailable
from tusfm.domain.upload import Role, State
from tusfm.engine import finalization
from tusfm.engine.appending import Append
from tusfm.engine.creating import Creation
from tusfm.ports.storage import Part, Source
from tusfm.settings import load

SIZE = 12_000_000

pytestmark = pytest.mark.usefixtures("attempts_follow_soon")


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
            await asyncio.wait_for(storage.reached.wait(), 60)
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


async def test_a_renewal_ends_with_its_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver may take the cancellation of a renewal for something else: the lease is not renewed any more all the same."""
    storage, renewals = StuckStorage(), list[asyncio.Task[object]]()

    async def renew(*_: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        renewals.append(task)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if len(renewals) > 1:
                raise

    monkeypatch.setattr(finalization, "RENEW_SECONDS", 0.01)
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            monkeypatch.setattr(engine.metadata, "renew", renew)
            made = await engine.uploads.create(Creation(length=SIZE))
            body = PlayedBody(pieces_of(b"z" * SIZE, 262_144), size=SIZE)
            await engine.uploads.append(Append(id=made.id, offset=0, body=body))
            async with asyncio.timeout(60):
                while not renewals:
                    await asyncio.sleep(0.01)
                storage.go_on.set()
                while not renewals[0].done():
                    await asyncio.sleep(0.01)
            assert len(renewals) == 1


class ForgetfulStorage(MemoryStorage):
    """A storage whose copies fail after the first one, and that forgets the multipart upload then."""

    failing = True

    async def copy_part(self, key: str, multipart: str, number: int, source: Source) -> str:
        """Copy, or fail."""
        if self.failing and number > 1:
            await asyncio.sleep(0.1)
            raise StorageUnavailable("told to fail")
        return await super().copy_part(key, multipart, number, source)


async def test_a_composition_that_was_aborted_from_outside_begins_anew(tmp_path: Path) -> None:
    """While its sources are there, a final is not given up because the multipart upload that it was copied into is gone."""
    storage = ForgetfulStorage()
    data = bytes(range(256)) * 24_000
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            partials = []
            for _ in range(3):
                body = PlayedBody(pieces_of(data, 262_144), size=len(data))
                partials.append((await engine.uploads.create(Creation(length=len(data), role=Role.PARTIAL, body=body))).id)
            final = await engine.uploads.concatenate(Creation(length=None, role=Role.FINAL), partials)
            async with asyncio.timeout(60):
                while "copy" not in storage.calls:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.2)
            storage.unfinished.clear()
            storage.failing = False
            stored = await engine.uploads.open(final.id)
            assert b"".join([piece async for piece in stored.read(0, stored.size)]) == data * 3
