"""What the sweep takes, and what it leaves alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.bodies import PlayedBody
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.domain.errors import StorageUnavailable
from tusfm.domain.upload import State, new_id
from tusfm.engine.appending import Append
from tusfm.engine.creating import Creation


@pytest.mark.parametrize("multipart", [False, True])
async def test_it_takes_what_no_row_names_and_nothing_else(tmp_path: Path, multipart: bool) -> None:  # noqa: FBT001
    """Working objects without a row, and those of epochs that are over, go; files without a row, and what is named, stay."""
    with migrated(tmp_path) as environ:
        async with running(environ, MemoryStorage() if multipart else None) as engine:
            made = await engine.uploads.create(Creation(length=1000))
            for offset in range(0, 30, 10):
                await engine.uploads.append(Append(id=made.id, offset=offset, body=PlayedBody([b"x" * 10], size=10)))
            present = (await engine.uploads.find(made.id)).epoch
            stranger, late = f"work/{new_id()}/t/1-1", f"work/{made.id}/t/{present - 1}-99"
            ours, future = f"files/{new_id()}/1", f"work/{made.id}/t/{present + 1}-1"
            for key in (stranger, late, ours, future):
                await engine.storage.put(key, [b"x"])
            await engine.sweep.sweep()
            sizes = [await engine.storage.size(key) for key in (stranger, late, ours, future)]
            assert sizes == [None, None, 1, 1]
            assert [key async for key in engine.sweep.orphans()] == [ours]
            body = PlayedBody([b"y" * 970], size=970)
            await engine.uploads.append(Append(id=made.id, offset=30, body=body))
            stored = await engine.uploads.open(made.id)
            assert b"".join([piece async for piece in stored.read(0, 1000)]) == b"x" * 30 + b"y" * 970


@pytest.mark.parametrize("multipart", [False, True])
async def test_a_preview_counts_and_changes_nothing(tmp_path: Path, multipart: bool) -> None:  # noqa: FBT001
    """What it counts is what a sweep then does."""
    with migrated(tmp_path) as environ:
        async with running({**environ, "TUSFM_EXPIRE_AFTER": "0.01"}, MemoryStorage() if multipart else None) as engine:
            made = await engine.uploads.create(Creation(length=1000))
            for key in (f"work/{new_id()}/t/1-1", f"work/{new_id()}/t/1-2", f"files/{new_id()}/1"):
                await engine.storage.put(key, [b"x"])
            await asyncio.sleep(0.1)
            seen = [await engine.sweep.preview() for _ in range(2)]
            assert seen == [{"expired": 1, "renewed": 0, "freed": 0, "abandoned": 0, "leftovers": 2}] * 2
            row = await engine.metadata.find(made.id)
            assert row is not None
            assert row.state is State.RECEIVING
            done = await engine.sweep.sweep()
            assert {what: done[what] for what in seen[0]} == seen[0]


class Moody(MemoryStorage):
    """A storage that cannot list multipart uploads at first."""

    moody = True

    async def multiparts(self, prefix: str) -> AsyncIterator[tuple[str, str]]:
        """List them, once it has been asked before."""
        if self.moody:
            self.moody = False
            raise StorageUnavailable("not now")
        async for one in super().multiparts(prefix):
            yield one


async def test_a_look_at_all_files_that_failed_is_made_by_the_next_sweep(tmp_path: Path) -> None:
    """Else half a day would pass, and a tombstone might be buried that alone tells whose a multipart upload is."""
    storage = Moody()
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            made = await engine.uploads.create(Creation(length=1000))
            await storage.begin(f"files/{made.id}/0")
            await engine.uploads.terminate(made.id)
            with pytest.raises(StorageUnavailable):
                await engine.sweep.sweep()
            assert storage.unfinished
            await asyncio.sleep(0.01)  # the database's clock has milliseconds
            await engine.sweep.sweep()
            assert not storage.unfinished


async def test_another_deployments_working_objects_are_not_ours(tmp_path: Path) -> None:
    """Where another database's marker stands, what has no row here is left alone: it may be in use there."""
    storage = MemoryStorage()
    with migrated(tmp_path / "one") as one, migrated(tmp_path / "two") as two:
        async with running(one, storage) as first, running(two, storage) as second:
            await first.sweep.sweep()
            made = await first.uploads.create(Creation(length=1000))
            await first.uploads.append(Append(id=made.id, offset=0, body=PlayedBody([b"x" * 10], size=10)))
            before = set(storage.objects)
            await second.sweep.sweep()
            assert set(storage.objects) == before
            body = PlayedBody([b"y" * 990], size=990)
            await first.uploads.append(Append(id=made.id, offset=10, body=body))
            stored = await first.uploads.open(made.id)
            assert b"".join([piece async for piece in stored.read(0, 1000)]) == b"x" * 10 + b"y" * 990
