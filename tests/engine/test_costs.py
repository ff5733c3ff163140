"""What requests cost in transactions and storage calls: counted, never timed."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.engine.bodies import PlayedBody, pieces_of
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tests.statements import overheard
from tusfm.adapters.database_sqlite import READERS, Sqlite
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import BodyBroken
from tusfm.engine.appending import Append
from tusfm.engine.creating import Creation
from tusfm.wiring import Engine

MIB = 1024 * 1024

pytestmark = pytest.mark.usefixtures("small_bodies_stay_small")


async def stand_still(engine: Engine, database: Sqlite) -> None:
    """End the work beside requests; what it has asked the database for already ends in the database's threads."""
    for task in engine._tasks:
        task.cancel()
    await asyncio.gather(*engine._tasks, return_exceptions=True)
    together = threading.Barrier(READERS)
    await asyncio.gather(*(database.read(lambda _: together.wait()) for _ in range(READERS)))
    await database.write(lambda _: None)


@asynccontextmanager
async def counted(engine: Engine) -> AsyncIterator[dict[str, int]]:
    """Count the transactions and the queries outside them that a request makes; background work stands still."""
    assert isinstance(engine.metadata, SqlMetadata)
    assert isinstance(engine.metadata.db, Sqlite)
    await stand_still(engine, engine.metadata.db)
    seen = {"transactions": 0, "queries": 0}

    def count(statement: str) -> None:
        if threading.current_thread().name.startswith("sqlite-read"):
            seen["queries"] += 1
        else:
            seen["transactions"] += statement.startswith("BEGIN")

    with overheard(count):
        yield seen


@pytest.mark.parametrize("multipart", [False, True])
async def test_a_small_file_with_its_creation(tmp_path: Path, multipart: bool) -> None:  # noqa: FBT001
    """A creation with its body below a part is two transactions, and one put."""
    storage = MemoryStorage() if multipart else None
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine, counted(engine) as seen:
            await engine.uploads.create(Creation(length=5, body=PlayedBody([b"hello"], size=5)))
    assert seen == {"transactions": 2, "queries": 0}
    assert storage is None or storage.calls.count("put") == 1


@pytest.mark.parametrize("multipart", [False, True])
async def test_a_small_file_by_post_and_patch(tmp_path: Path, multipart: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """POST and the PATCH that follows at once are two transactions and no query."""
    monkeypatch.setattr("tusfm.engine.recent.RECENT_SECONDS", 60.0)
    storage = MemoryStorage() if multipart else None
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine, counted(engine) as seen:
            made = await engine.uploads.create(Creation(length=5))
            await engine.uploads.append(Append(id=made.id, offset=0, body=PlayedBody([b"hello"], size=5)))
    assert seen == {"transactions": 2, "queries": 0}
    assert storage is None or [call for call in storage.calls if call != "list"] == ["put"]


@pytest.mark.parametrize(("recent", "queries"), [(60.0, 0), (0.0, 10)])
async def test_small_patches_on_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recent: float, queries: int
) -> None:
    """Each of many small PATCHes is one transaction; the row is read only when this process has not just written it."""
    monkeypatch.setattr("tusfm.engine.recent.RECENT_SECONDS", recent)
    with migrated(tmp_path) as environ:
        async with running(environ) as engine:
            made = await engine.uploads.create(Creation(length=1_000_000))
            await engine.uploads.append(Append(id=made.id, offset=0, body=PlayedBody([b"x" * 1000], size=1000)))
            async with counted(engine) as seen:
                for offset in range(1000, 11_000, 1000):
                    body = PlayedBody([b"x" * 1000], size=1000)
                    await engine.uploads.append(Append(id=made.id, offset=offset, body=body))
    assert seen == {"transactions": 10, "queries": queries}


async def test_a_head_is_one_query_however_many_segments(tmp_path: Path) -> None:
    """HEAD of an upload that nobody writes is one query."""
    with migrated(tmp_path) as environ:
        async with running(environ) as engine:
            made = await engine.uploads.create(Creation(length=100_000_000))
            for number in range(5):
                body = PlayedBody([b"x" * 2_000_000], size=2_000_000)
                await engine.uploads.append(Append(id=made.id, offset=number * 2_000_000, body=body))
            async with counted(engine) as seen:
                assert (await engine.uploads.status(made.id)).offset == 10_000_000
    assert seen == {"transactions": 0, "queries": 1}


async def test_one_large_patch_on_a_multipart_storage(tmp_path: Path) -> None:
    """One PATCH of many parts is one call a part, one commit a part at most, a reservation for two where none rode on a
    commit, and four more transactions.
    """
    storage = MemoryStorage()
    size = 100 * MIB
    with migrated(tmp_path) as environ:
        async with running(environ | {"TUSFM_MEMORY_BUDGET": str(256 * MIB)}, storage) as engine:
            made = await engine.uploads.create(Creation(length=size))
            async with counted(engine) as seen:
                body = PlayedBody(pieces_of(b"\0" * size, 262_144), size=size)
                await engine.uploads.append(Append(id=made.id, offset=0, body=body))
                await engine.finalizer.finalize(made.id)
    parts = storage.calls.count("part")
    assert parts == -(-size // (8 * MIB))
    assert [storage.calls.count(name) for name in ("begin", "complete", "size", "put", "read")] == [1, 1, 1, 0, 0]
    assert seen["transactions"] <= 1.5 * parts + 4
    assert storage.written == size


async def test_the_long_rest_of_a_broken_body_is_written_once(tmp_path: Path) -> None:
    """What a body that breaks off leaves travels as a part where it is long enough: a tail would be written again."""
    storage = MemoryStorage()
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            made = await engine.uploads.create(Creation(length=20 * MIB))
            body = PlayedBody(pieces_of(bytes(6 * MIB), 262_144), size=20 * MIB, end="broken")
            with pytest.raises(BodyBroken):
                await engine.uploads.append(Append(id=made.id, offset=0, body=body))
            assert (await engine.uploads.find(made.id)).offset == 6 * MIB
    assert (storage.calls.count("part"), storage.calls.count("put")) == (1, 0)


async def test_a_head_gathers_nothing_that_is_durable(tmp_path: Path) -> None:
    """A long tail, as memory that was short leaves one, stays one until more bytes come: asking for the offset moves none."""
    storage = MemoryStorage(min_part=64 * MIB)
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            made = await engine.uploads.create(Creation(length=20 * MIB))
            body = PlayedBody(pieces_of(bytes(6 * MIB), 262_144), size=20 * MIB, end="broken")
            with pytest.raises(BodyBroken):
                await engine.uploads.append(Append(id=made.id, offset=0, body=body))
            storage.min_part = 5 * MIB
            storage.calls.clear()
            body = PlayedBody([], size=14 * MIB, end="silent")
            sending = asyncio.create_task(engine.uploads.append(Append(id=made.id, offset=6 * MIB, body=body)))
            async with asyncio.timeout(60):
                while not (await engine.uploads.find(made.id)).writer:
                    await asyncio.sleep(0.02)
            assert (await engine.uploads.status(made.id)).offset == 6 * MIB
            assert storage.calls == []
            body.cut()
            with pytest.raises(BodyBroken):
                await sending


async def test_patches_of_one_mebibyte_on_a_multipart_storage(tmp_path: Path) -> None:
    """In PATCHes of 1 MiB each byte is written at most twice; 1.3 calls, 3 transactions and 1.2 queries a PATCH."""
    storage = MemoryStorage()
    count = 64
    with migrated(tmp_path) as environ:
        async with running(environ | {"TUSFM_MEMORY_BUDGET": str(256 * MIB)}, storage) as engine:
            made = await engine.uploads.create(Creation(length=count * MIB))
            storage.calls.clear()
            async with counted(engine) as seen:
                for number in range(count):
                    body = PlayedBody(pieces_of(b"\0" * MIB, 262_144), size=MIB)
                    await engine.uploads.append(Append(id=made.id, offset=number * MIB, body=body))
    assert (storage.written <= 2 * count * MIB, storage.read_back) == (True, 0)
    assert len([call for call in storage.calls if call != "list"]) <= 1.3 * count
    assert seen["transactions"] <= 3 * count
    assert seen["queries"] <= 1.2 * count
