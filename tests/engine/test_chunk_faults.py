"""Files in chunks on bad days: frozen and repeated attempts, chunks that come meanwhile, storage that is away or forgets."""

import asyncio
import contextlib
import sqlite3
import threading
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from tests.engine.chunked import DONE, becomes, completed, content, freed, left, send, sent
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.adapters import storage_local
from tusfm.adapters.finalization_inline import InlineFinalization
from tusfm.domain.errors import NotFound, StorageUnavailable, Unavailable
from tusfm.domain.files import File, FileStatus
from tusfm.domain.upload import State
from tusfm.engine import joining
from tusfm.ports.storage import Part, Pieces, Source
from tusfm.wiring import Engine

DAY_MS = 86_400_000
MIB = 1024 * 1024

pytestmark = pytest.mark.usefixtures("attempts_follow_soon")


class FrozenStorage(MemoryStorage):
    """A storage on which one engine's Complete takes as long as the test wants, and another's does not."""

    def __init__(self) -> None:
        """Begin frozen."""
        super().__init__()
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.woken: asyncio.Event = asyncio.Event()
        self.frozen = 1

    async def complete(self, key: str, multipart: str, parts: Sequence[Part]) -> None:
        """Wait, if it is the first, then complete."""
        if self.frozen:
            self.frozen -= 1
            self.reached.set()
            await self.go_on.wait()
            try:
                await super().complete(key, multipart, parts)
            finally:
                self.woken.set()
        else:
            await super().complete(key, multipart, parts)


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Make a database."""
    with migrated(tmp_path) as one:
        yield one


def execute(environ: dict[str, str], statement: str) -> None:
    """Change the database behind the engines' back."""
    with contextlib.closing(sqlite3.connect(Path(environ["TUSFM_DATA_DIR"]) / "tusfm.sqlite3", timeout=20)) as direct:
        direct.execute(statement)
        direct.commit()


async def frozen(engine: Engine, storage: FrozenStorage, chunks: Sequence[bytes]) -> tuple[str, File]:
    """Bring a file to where its first attempt is about to complete the object."""
    upload_id = await sent(engine, chunks)
    file = await completed(engine, upload_id, len(chunks))
    await asyncio.wait_for(storage.reached.wait(), 60)
    return upload_id, file


async def test_a_chunk_that_comes_while_the_file_is_composed_counts(environ: dict[str, str]) -> None:
    """The attempt that had read the one before begins again, and nothing of it is left."""
    storage = FrozenStorage()
    async with running(environ, storage) as engine:
        upload_id, file = await frozen(engine, storage, [b"one", b"two"])
        await send(engine, upload_id, 0, b"ONE")
        storage.go_on.set()
        done = await becomes(engine, file, *DONE)
        assert (done.status, await content(engine, done)) == (FileStatus.SUCCESS, b"ONEtwo")
        await freed(engine)
        assert storage.unfinished == {}


async def test_an_attempt_that_wakes_late_writes_nothing(environ: dict[str, str]) -> None:
    """Frozen before its Complete, taken over, a chunk replaced meanwhile: its Complete does not bring the old bytes back."""
    storage = FrozenStorage()
    async with running(environ, storage) as first, running(environ, storage) as second:
        upload_id, file = await frozen(first, storage, [b"one", b"two"])
        await send(second, upload_id, 0, b"ONE")
        execute(environ, "UPDATE uploads SET lease_until = 0")
        await second.finalizer.finalize(upload_id)
        await becomes(second, file, FileStatus.SUCCESS)
        storage.go_on.set()
        await asyncio.wait_for(storage.woken.wait(), 60)
        assert await content(second, file) == b"ONEtwo"
        await freed(second)
        assert storage.unfinished == {}


async def test_a_chunk_that_is_replaced_before_it_was_read(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its object is gone when the attempt comes to it: that is no failure, and nothing to wait for."""
    monkeypatch.setattr(joining, "LOOK_AGAIN_SECONDS", 1000)
    storage = MemoryStorage()
    async with running(environ, storage) as engine:
        upload_id = await sent(engine, [b"one", b"two"])
        begin = storage.begin

        async def replaced_meanwhile(key: str, content_type: str | None = None) -> str:
            monkeypatch.setattr(storage, "begin", begin)
            await send(engine, upload_id, 0, b"ONE")
            return await begin(key, content_type)

        monkeypatch.setattr(storage, "begin", replaced_meanwhile)
        done = await becomes(engine, await completed(engine, upload_id, 2), *DONE)
        assert (done.status, await content(engine, done)) == (FileStatus.SUCCESS, b"ONEtwo")
        await freed(engine)
        assert storage.unfinished == {}


async def test_an_attempt_that_wakes_late_in_a_directory(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen with its draft written and not yet named: it was taken over, and what it names then is nothing."""
    reached, go_on = threading.Event(), threading.Event()
    finish = storage_local._finish

    def frozen_once(fd: int, path: str, target: str) -> None:
        monkeypatch.setattr(storage_local, "_finish", finish)
        reached.set()
        go_on.wait(60)
        finish(fd, path, target)

    async with running(environ) as first, running(environ) as second:
        upload_id = await sent(first, [b"one", b"two"])
        monkeypatch.setattr(storage_local, "_finish", frozen_once)
        file = await completed(first, upload_id, 2)
        assert await asyncio.to_thread(reached.wait, 60)
        await send(second, upload_id, 0, b"ONE")
        execute(environ, "UPDATE uploads SET lease_until = 0")
        await second.finalizer.finalize(upload_id)
        await becomes(second, file, FileStatus.SUCCESS)
        go_on.set()
        await freed(second)
        await asyncio.wait_for(asyncio.gather(*_attempts(first)), 60)
        assert await content(second, file) == b"ONEtwo"
        await second.sweep.sweep()
        assert await left(second) == []


def _attempts(engine: Engine) -> list[asyncio.Task[None]]:
    """Return what an engine is at."""
    assert isinstance(engine.finalization, InlineFinalization)
    return list(engine.finalization._tasks)


async def test_two_workers_at_once_make_one_file(environ: dict[str, str]) -> None:
    """Whoever has the lease composes; the others find nothing to do."""
    storage = MemoryStorage()
    async with running(environ, storage) as first, running(environ, storage) as second:
        upload_id = await sent(first, [b"x" * (6 * MIB), b"y"])
        file = await completed(first, upload_id, 2)
        await asyncio.gather(*(engine.finalizer.finalize(upload_id) for engine in (first, second) * 4))
        await becomes(first, file, FileStatus.SUCCESS)
        assert storage.calls.count("complete") == 1


class RefusingStorage(MemoryStorage):
    """A storage that is away for copies, as long as it is told to be."""

    away = True

    async def copy_part(self, key: str, multipart: str, number: int, source: Source) -> str:
        """Copy, or fail."""
        if self.away:
            await self._call("refused")
            raise StorageUnavailable("told to fail")
        return await super().copy_part(key, multipart, number, source)


async def test_a_storage_that_is_away_is_waited_for(environ: dict[str, str]) -> None:
    """The file stays STARTED, its row says why, and it is made when the storage is back."""
    storage = RefusingStorage()
    async with running(environ, storage) as engine:
        data = b"x" * (6 * MIB)
        upload_id = await sent(engine, [data])
        file = await completed(engine, upload_id, 1)
        async with asyncio.timeout(60):
            while (await engine.chunks.file(file.id)).error != "told to fail":
                await asyncio.sleep(0.02)
        assert (await engine.chunks.file(file.id)).status is FileStatus.STARTED
        storage.away = False
        assert await content(engine, await becomes(engine, file, *DONE)) == data
        await freed(engine)
        assert storage.unfinished == {}


async def test_a_process_that_is_lost_in_the_middle(environ: dict[str, str]) -> None:
    """Whoever comes next ends what it had begun, and leaves nothing of it."""
    storage = FrozenStorage()
    async with running(environ, storage) as lost:
        upload_id, file = await frozen(lost, storage, [b"x" * (6 * MIB), b"y"])
        begun = set(storage.unfinished)
        execute(environ, "UPDATE uploads SET lease_until = 0")
        async with running(environ, storage) as engine:
            await engine.finalizer.finalize(upload_id)
            await becomes(engine, file, FileStatus.SUCCESS)
            assert not begun & set(storage.unfinished)
            await freed(engine)
            assert storage.unfinished == {}


async def test_what_was_begun_and_never_written_down_is_swept(environ: dict[str, str]) -> None:
    """A worker that died between the storage's answer and the row leaves a multipart upload, which no attempt knows."""
    storage = MemoryStorage()
    async with running(environ, storage) as engine:
        upload_id = await sent(engine, [b"x"])
        file = await completed(engine, upload_id, 1)
        await becomes(engine, file, FileStatus.SUCCESS)
        assert file.key is not None
        await storage.begin(file.key)
        strangers = [await storage.begin(key) for key in ("public/report.pdf", f"private/{uuid.uuid4()}.txt")]
        await engine.sweep.sweep()
        assert list(storage.unfinished) == strangers


async def test_a_chunk_whose_bytes_are_gone(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second look it is a FAILURE, for ever until the chunk is sent again."""
    monkeypatch.setattr(joining, "LOOK_AGAIN_SECONDS", 0.1)
    storage = MemoryStorage()
    async with running(environ, storage) as engine:
        upload_id = await sent(engine, [b"x" * (6 * MIB), b"y"])
        (gone,) = [key for key, data in storage.objects.items() if data == b"y"]
        del storage.objects[gone]
        file = await completed(engine, upload_id, 2)
        failed = await becomes(engine, file, *DONE)
        assert failed.status is FileStatus.FAILURE
        assert str(failed.error).startswith("The bytes of a chunk are gone from storage.")
        await send(engine, upload_id, 1, b"Y")
        await engine.chunks.retry(file.id)
        done = await becomes(engine, file, *DONE)
        assert await content(engine, done) == b"x" * (6 * MIB) + b"Y"


async def test_an_attempt_that_was_ended_from_outside_begins_anew(environ: dict[str, str]) -> None:
    """While the chunks are there, a multipart upload that the storage has forgotten is no failure."""
    storage = FrozenStorage()
    async with running(environ, storage) as engine:
        _, file = await frozen(engine, storage, [b"one", b"two"])
        storage.unfinished.clear()
        storage.go_on.set()
        done = await becomes(engine, file, *DONE)
        assert (done.status, await content(engine, done)) == (FileStatus.SUCCESS, b"onetwo")


async def test_another_name_after_a_lost_answer_leaves_one_object(environ: dict[str, str]) -> None:
    """The first name's object was made, then the file failed; under its second name it is there alone."""
    storage = FrozenStorage()
    async with running({**environ, "TUSFM_LEGACY_STRICT_SIZE": "1"}, storage) as engine:
        upload_id = await sent(engine, [b"abc"])
        first = await completed(engine, upload_id, 1, size=3)
        await asyncio.wait_for(storage.reached.wait(), 60)
        await send(engine, upload_id, 0, b"abcd")  # the attempt completes, and is not published
        storage.go_on.set()
        await becomes(engine, first, FileStatus.FAILURE)
        assert first.key in storage.objects
        second = await completed(engine, upload_id, 1, size=4, extension="txt", credential={"a": "b"})
        done = await becomes(engine, second, *DONE)
        assert await content(engine, done) == b"abcd"
        await engine.sweep.sweep()
        assert [key for key in storage.objects if not key.startswith("work/marker/")] == [done.key]


class DeafStorage(MemoryStorage):
    """A storage that fails what is put in it, and may have kept it all the same."""

    async def put(self, key: str, pieces: Pieces) -> None:
        """Keep it, and say no."""
        await super().put(key, pieces)
        if key.startswith("work/c/"):
            raise StorageUnavailable("told to fail")


async def test_a_chunk_that_storage_refuses(environ: dict[str, str]) -> None:
    """The request fails, also when it was an early part of the chunk that could not be stored, and leaves nothing."""
    storage = DeafStorage()
    async with running(environ, storage) as engine:
        upload_id = await engine.chunks.begin()
        for size in (1000, 20 * MIB):
            with pytest.raises(StorageUnavailable):
                await send(engine, upload_id, 0, b"x" * size)
        assert (await left(engine), engine.chunks._budget.used) == ([], 0)
        assert await engine.metadata.chunks(upload_id) == []


async def test_a_chunk_that_cannot_begin_holds_nothing(environ: dict[str, str]) -> None:
    """While the database is away every request that brings a chunk fails, and the budget knows nothing of it afterwards."""
    async with running(environ, MemoryStorage()) as engine:
        execute(environ, "DROP TABLE intents")
        with pytest.raises(Unavailable):
            await send(engine, str(uuid.uuid4()), 0, b"one")
        assert not engine.budget._accounts


class TestSweeping:
    """What time takes away, and what it leaves alone."""

    @pytest.fixture(params=["memory", "directory"])
    async def engine(self, request: pytest.FixtureRequest, environ: dict[str, str]) -> AsyncIterator[Engine]:
        """Run an engine on each shape of storage."""
        async with running(environ, MemoryStorage() if request.param == "memory" else None) as one:
            yield one

    async def test_a_chunk_that_was_on_its_way_for_a_day(self, engine: Engine, environ: dict[str, str]) -> None:
        """Its objects go with its intent; its request, should it wake, is told to try again, and brings nothing back."""
        upload_id = await engine.chunks.begin()
        async with engine.chunks.receive() as incoming:
            for _ in range(17):
                await incoming.take(b"x" * MIB)
            await incoming._landed()
            await engine.sweep.sweep()
            assert len(await left(engine)) >= 1
            execute(environ, f"UPDATE intents SET begun_at = begun_at - {DAY_MS + 1000}")
            assert (await engine.sweep.sweep())["abandoned"] == 1
            await freed(engine)
            with pytest.raises(StorageUnavailable):
                await incoming.place(upload_id, 0)
        await engine.sweep.sweep()
        await freed(engine)

    async def test_chunks_that_nobody_names(self, engine: Engine) -> None:
        """What a crash left goes; what a chunk names stays; under the keys that others read nothing is touched."""
        upload_id = await sent(engine, [b"x"])
        stray = f"work/c/{uuid.uuid4().hex}/0"
        others = [f"public/{uuid.uuid4()}.txt", f"private/{uuid.uuid4()}.txt"]
        for key in (stray, *others):
            await engine.storage.put(key, [b"y"])
        await engine.sweep.sweep()
        assert [await engine.storage.size(key) for key in (stray, *others)] == [None, 1, 1]
        assert sorted([key async for key in engine.sweep.orphans()]) == sorted(others)
        done = await becomes(engine, await completed(engine, upload_id, 1), *DONE)
        assert await content(engine, done) == b"x"

    async def test_an_abandoned_upload_expires(self, engine: Engine, environ: dict[str, str]) -> None:
        """Its chunks go, and it takes no more; so does a failed file, which is then unknown."""
        waiting, failed = await sent(engine, [b"x"]), await sent(engine, [b"y"])
        file = await becomes(engine, await completed(engine, failed, 2), FileStatus.FAILURE)
        execute(environ, "UPDATE uploads SET expires_at = 1")
        assert (await engine.sweep.sweep())["expired"] == 2
        await freed(engine)
        for upload_id in (waiting, failed):
            with pytest.raises(NotFound):
                await send(engine, upload_id, 1, b"z")
            upload = await engine.metadata.find(upload_id)
            assert upload is not None
            assert upload.state is State.EXPIRED
        with pytest.raises(NotFound):
            await engine.chunks.file(file.id)
