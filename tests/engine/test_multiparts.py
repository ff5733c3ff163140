"""A storage may abort a multipart upload by its age, even one in use; none is used for so long."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.engine.bodies import PlayedBody, TricklingBody, WaitingBody, pieces_of
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.domain.errors import ChecksumMismatch, Fenced
from tusfm.domain.upload import ExtentKind
from tusfm.engine import multiparts, part_layout, parts
from tusfm.engine.appending import Append
from tusfm.engine.checksums import Checksum
from tusfm.engine.creating import Creation
from tusfm.ports.storage import Part
from tusfm.wiring import Engine

KIB = 1024
MIB = 1024 * KIB
PART = 64 * KIB
AGE, ABORTED_AFTER = 0.5, 2.5  # what is between them, a machine may stand still


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiparts, "PART_BYTES", PART)


@asynccontextmanager
async def engine_on(
    storage: MemoryStorage, folder: Path, *, age: float = AGE, sweep_every: float = 0.2
) -> AsyncIterator[Engine]:
    """Run an engine on a storage that aborts soon, which sweeps more often than that."""
    more = {"TUSFM_S3_MULTIPART_AGE": str(age), "TUSFM_SWEEP_EVERY": str(sweep_every)}
    with migrated(folder) as environ:
        async with running(environ | more, storage) as engine:
            yield engine


def hasty_storage() -> MemoryStorage:
    """Make a storage that aborts multipart uploads soon."""
    return MemoryStorage(min_part=PART // 2, most_age=ABORTED_AFTER)


async def content(engine: Engine, upload_id: str, size: int) -> bytes:
    """Read a finished upload."""
    stored = await engine.uploads.open(upload_id)
    return b"".join([piece async for piece in stored.read(0, size)])


async def test_a_slow_body_goes_on_with_another_one(tmp_path: Path) -> None:
    """A body that takes longer than any multipart upload lives arrives whole, in pieces that go when it is composed."""
    storage = hasty_storage()
    data = bytes(range(256)) * 1600
    async with engine_on(storage, tmp_path) as engine:
        made = await engine.uploads.create(Creation(length=len(data)))
        body = TricklingBody(pieces_of(data, len(data) // 32), size=len(data))
        assert (await engine.uploads.append(Append(id=made.id, offset=0, body=body))).offset == len(data)
        assert await content(engine, made.id, len(data)) == data
        assert storage.calls.count("begin") >= 3
        await asyncio.sleep(0.1)
        assert [key for key in storage.objects if "marker" not in key] == [
            next(key for key in storage.objects if "/l/" in key)
        ]


async def test_one_that_is_too_slow_for_a_part_keeps_those_that_it_has(tmp_path: Path) -> None:
    """Where no part is due before the age is reached, the writer completes the multipart upload all the same."""
    storage = hasty_storage()
    async with engine_on(storage, tmp_path) as engine:
        made = await engine.uploads.create(Creation(length=10 * PART))
        body = TricklingBody([b"a" * PART, *[b"b"] * 30], size=PART + 30)
        assert (await engine.uploads.append(Append(id=made.id, offset=0, body=body))).offset == PART + 30
        rest = 9 * PART - 30
        await engine.uploads.append(Append(id=made.id, offset=PART + 30, body=PlayedBody([b"c" * rest], size=rest)))
        assert await content(engine, made.id, 10 * PART) == b"a" * PART + b"b" * 30 + b"c" * rest


async def test_an_idle_one_is_completed_by_the_sweep(tmp_path: Path) -> None:
    """A client that comes back long after finds its bytes: nothing is left that the storage could abort."""
    storage = hasty_storage()
    async with engine_on(storage, tmp_path) as engine:
        made = await engine.uploads.create(Creation(length=3 * PART))
        for offset, data in ((0, b"a" * PART), (PART, b"b" * PART), (2 * PART, b"c" * PART)):
            await engine.uploads.append(Append(id=made.id, offset=offset, body=TricklingBody([data], size=PART)))
            async with asyncio.timeout(60):
                while storage.unfinished:
                    await asyncio.sleep(0.05)
        assert await content(engine, made.id, 3 * PART) == b"a" * PART + b"b" * PART + b"c" * PART


@pytest.mark.parametrize("before", [0, PART])
async def test_a_checksum_may_come_out_wrong_after_it(tmp_path: Path, before: int) -> None:
    """Early parts of a body whose checksum is not known yet lie in the piece and do not count; when it is right they do."""
    storage = hasty_storage()
    data = bytes(range(256)) * 1024
    size = before + len(data)
    async with engine_on(storage, tmp_path) as engine:
        made = await engine.uploads.create(Creation(length=size + 5))
        if before:
            await engine.uploads.append(Append(id=made.id, offset=0, body=TricklingBody([b"x" * before], size=before)))
        for wrong in (True, False):
            checksum = Checksum("sha1", hashlib.sha1(b"" if wrong else data, usedforsecurity=False).digest())
            body = TricklingBody(pieces_of(data, len(data) // 14), size=len(data))
            append = Append(id=made.id, offset=before, body=body, checksum=checksum)
            if wrong:
                with pytest.raises(ChecksumMismatch):
                    await engine.uploads.append(append)
                assert (await engine.uploads.status(made.id)).offset == before
            else:
                assert (await engine.uploads.append(append)).offset == size
        await engine.uploads.append(Append(id=made.id, offset=size, body=PlayedBody([b"12345"], size=5)))
        assert await content(engine, made.id, size + 5) == b"x" * before + data + b"12345"


@pytest.mark.parametrize("size", [KIB, PART // 4])
async def test_a_piece_of_which_nothing_counts_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """An upload whose bytes fit into one object leaves none of the request before, whose checksum was wrong in the end."""
    monkeypatch.setattr(part_layout.PartLayout, "small", 4 * KIB)
    storage = hasty_storage()
    data = b"r" * size
    async with engine_on(storage, tmp_path) as engine:
        made = await engine.uploads.create(Creation(length=None))
        body = TricklingBody([b"w" * PART, *[b"w"] * 14], size=PART + 14)
        with pytest.raises(ChecksumMismatch):
            await engine.uploads.append(Append(id=made.id, offset=0, body=body, checksum=Checksum("sha1", bytes(20))))
        assert storage.calls.count("complete") == 1
        await engine.uploads.append(Append(id=made.id, offset=0, length=size, body=PlayedBody([data], size=size)))
        assert await content(engine, made.id, size) == data
        async with asyncio.timeout(60):
            while len([key for key in storage.objects if "marker" not in key]) > 1:
                await asyncio.sleep(0.05)


async def test_a_piece_that_is_longer_than_what_counts_is_cut(tmp_path: Path) -> None:
    """The only piece of a finished upload may hold bytes of a body that did not count: they are not in the file."""
    storage = MemoryStorage(min_part=PART // 2)
    data = b"a" * PART
    async with engine_on(storage, tmp_path, age=2, sweep_every=3600) as engine:
        made = await engine.uploads.create(Creation(length=PART))
        deferred = await engine.uploads.create(Creation(length=None))
        await engine.uploads.append(Append(id=deferred.id, offset=0, body=TricklingBody([data], size=PART)))
        checksum = Checksum("sha1", bytes(20))
        body = WaitingBody([b"w" * PART, b"w"], size=PART + 1, until=lambda: "complete" in storage.calls)
        with pytest.raises(ChecksumMismatch):
            await engine.uploads.append(Append(id=deferred.id, offset=PART, body=body, checksum=checksum))
        assert max(map(len, storage.objects.values())) > PART
        empty = PlayedBody([], size=0)
        await engine.uploads.append(Append(id=deferred.id, offset=PART, length=PART, body=empty))
        assert await content(engine, deferred.id, PART) == data
        row = await engine.uploads.find(deferred.id)
        assert await storage.size(row.object_key or "") == PART
        assert (await engine.uploads.status(made.id)).offset == 0


async def test_worn_multipart_uploads_become_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 has 10,000 numbers: a multipart upload that has given them out ends as a piece; pieces are composed."""
    monkeypatch.setattr(multiparts, "TURN_NUMBERS", 2)
    monkeypatch.setattr(multiparts, "PART_BYTES", 8 * MIB)
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


async def test_a_writer_that_was_taken_over_does_not_complete_what_its_successor_uses(tmp_path: Path) -> None:
    """One that slept until its multipart upload was too old finds that the upload has another writer, and touches nothing."""
    storage = MemoryStorage(min_part=PART // 2)
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            made = await engine.uploads.create(Creation(length=3 * PART))
            await engine.uploads.append(Append(id=made.id, offset=0, body=TricklingBody([b"a" * PART], size=PART)))
            slept = await engine.uploads.find(made.id)
            await engine.uploads.append(Append(id=made.id, offset=PART, body=TricklingBody([b"b" * PART], size=PART)))
            with pytest.raises(Fenced):
                await multiparts.turn(storage, engine.metadata, slept, ())
            rest = TricklingBody([b"c" * PART], size=PART)
            await engine.uploads.append(Append(id=made.id, offset=2 * PART, body=rest))
            assert await content(engine, made.id, 3 * PART) == b"a" * PART + b"b" * PART + b"c" * PART


async def test_tails_gathered_into_one_are_read_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process has in memory of a gathered tail is its end; the part that gathers it has its beginning, too."""
    for module in (parts, part_layout):
        monkeypatch.setattr(module, "MOST_TAILS", 4)
    storage = MemoryStorage(min_part=PART // 2)
    data = bytes(range(256)) * (3 * PART // 256)
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as one, running(environ, storage) as two:
            made = await one.uploads.create(Creation(length=len(data)))
            offset = 0
            for _ in range(5):  # the other process reads back all of them but its own
                body = PlayedBody([data[offset : offset + 1000]], size=1000)
                offset = (await one.uploads.append(Append(id=made.id, offset=offset, body=body))).offset
            for end in (offset + 1000, len(data)):
                body = PlayedBody(pieces_of(data[offset:end], 10_000), size=None)
                await two.uploads.append(Append(id=made.id, offset=offset, body=body))
                offset = end
            assert await content(two, made.id, len(data)) == data


async def test_early_parts_in_a_completed_multipart_upload_do_not_count(tmp_path: Path) -> None:
    """A multipart upload was completed with parts of a checksum that nobody confirmed: the file ends where it ends."""
    storage = MemoryStorage(min_part=PART // 2)
    data = bytes(range(256)) * (3 * PART // 2 // 256)
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            made = await engine.uploads.create(Creation(length=None))
            body = PlayedBody(pieces_of(data, 8192), size=None)
            await engine.uploads.append(Append(id=made.id, offset=0, body=body))
            [name] = storage.unfinished
            stored = storage.unfinished[name]
            early = Part(9, await storage.put_part(stored.key, name, 9, [b"early"]))
            counted = await engine.metadata.extents(made.id, ExtentKind.PART)
            await storage.complete(stored.key, name, [*(Part(one.number, one.etag) for one in counted), early])
            offset = sum(one.length for one in counted)
            assert offset == len(data)
            last = PlayedBody([], size=0)
            await engine.uploads.append(Append(id=made.id, offset=offset, length=offset, body=last))
            assert await content(engine, made.id, offset) == data
