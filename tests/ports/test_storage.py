"""The contract of ports.storage; a new adapter is one more factory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.memory_storage import MemoryStorage
from tusfm.adapters.storage_local import LocalStorage
from tusfm.domain.errors import BytesLost, SegmentBusy, StorageUnavailable
from tusfm.domain.upload import new_id
from tusfm.ports.storage import AppendingStorage, MultipartStorage, Part, Source, Storage

Factory = Callable[[Path], AbstractAsyncContextManager[Storage]]


@asynccontextmanager
async def local(folder: Path) -> AsyncIterator[LocalStorage]:
    """Open a directory."""
    storage = LocalStorage(folder)
    await storage.start()
    yield storage
    await storage.close()


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[MemoryStorage]:
    """Open a memory."""
    yield MemoryStorage()


FACTORIES: dict[str, Factory] = {"local": local, "memory": memory}


@pytest.fixture(params=list(FACTORIES))
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """Open each adapter in turn."""
    async with FACTORIES[request.param](tmp_path / "store") as opened:
        yield opened


@pytest.fixture
async def appending(tmp_path: Path) -> AsyncIterator[AppendingStorage]:
    """Open each adapter that appends."""
    async with local(tmp_path / "store") as opened:
        yield opened


async def content(storage: Storage, key: str, start: int, length: int) -> bytes:
    """Read a stretch."""
    return b"".join([piece async for piece in storage.read(key, start, length)])


def file_key() -> str:
    """Name a new object."""
    return f"files/{new_id()}/1"


class TestEveryStorage:
    """Promises of all adapters."""

    @pytest.mark.parametrize("pieces", [[], [b""], [b"abc"], [b"x" * 100_000] * 30, [b"a"] * 3000])
    async def test_an_object_is_what_was_put(self, storage: Storage, pieces: list[bytes]) -> None:
        """An object has the pieces' bytes, one after another, and their size."""
        key, data = file_key(), b"".join(pieces)
        await storage.put(key, pieces)
        assert await storage.size(key) == len(data)
        assert await content(storage, key, 0, len(data)) == data

    async def test_pieces_may_be_any_bytes(self, storage: Storage) -> None:
        """bytes, bytearray and memoryview are all taken as they are."""
        key = file_key()
        await storage.put(key, [b"ab", bytearray(b"cd"), memoryview(b"xefx")[1:3]])
        assert await content(storage, key, 0, 6) == b"abcdef"

    async def test_a_stretch_is_read_in_small_pieces(self, storage: Storage) -> None:
        """A read gives the stretch, in pieces of at most 1 MiB."""
        key, data = file_key(), bytes(range(256)) * 12_000
        await storage.put(key, [data])
        pieces = [piece async for piece in storage.read(key, 1000, 2_500_000)]
        assert b"".join(pieces) == data[1000:2_501_000]
        assert max(map(len, pieces)) <= 1024 * 1024

    async def test_what_is_not_there(self, storage: Storage) -> None:
        """Size is None, reading is BytesLost, deleting succeeds."""
        key = file_key()
        assert await storage.size(key) is None
        with pytest.raises(BytesLost):
            await content(storage, key, 0, 1)
        await storage.delete([key, file_key()])
        await storage.delete([])

    async def test_what_was_deleted_is_gone(self, storage: Storage) -> None:
        """A deleted object is no longer there, and others are."""
        keys = [file_key() for _ in range(3)]
        for key in keys:
            await storage.put(key, [b"x"])
        await storage.delete(keys[:2])
        assert [await storage.size(key) for key in keys] == [None, None, 1]

    async def test_keys_are_listed_by_prefix(self, storage: Storage) -> None:
        """Listing gives each key under the prefix once, and no other."""
        one, two = new_id(), new_id()
        keys = {f"work/{one}/t/1-1", f"work/{one}/t/1-2", f"work/{two}/t/1-1"}
        for key in keys | {f"files/{one}/1"}:
            await storage.put(key, [b"x"])
        assert {key async for key in storage.keys("work/")} == keys
        assert {key async for key in storage.keys(f"work/{one}/")} == {key for key in keys if one in key}
        assert [key async for key in storage.keys(f"files/{two}/")] == []

    async def test_many_at_once(self, storage: Storage) -> None:
        """Calls may overlap."""
        keys = [file_key() for _ in range(40)]
        await asyncio.gather(*(storage.put(key, [key.encode()]) for key in keys))
        assert [await content(storage, key, 0, len(key)) for key in keys] == [key.encode() for key in keys]

    async def test_it_checks_itself(self, storage: Storage) -> None:
        """A storage that works passes its own check, and leaves nothing of it."""
        await storage.check()
        assert [key async for key in storage.keys("work/")] == []


class TestAppending:
    """Promises of storages that append."""

    async def test_a_segment_grows(self, appending: AppendingStorage) -> None:
        """What is written and synced is there; the next one goes on behind the length that it knows."""
        key = f"work/{new_id()}/s/1"
        for length, piece in ((0, b"abc"), (3, b"def"), (6, b"ghi")):
            segment = await appending.open(key, length)
            await segment.write([piece[:1], piece[1:]])
            await segment.sync()
            await segment.close()
        assert await content(appending, key, 0, 9) == b"abcdefghi"

    async def test_what_lies_behind_the_length_is_cut_at_the_first_write(self, appending: AppendingStorage) -> None:
        """Uncommitted bytes of a writer before are cut off by the next write, and not before it."""
        key = f"work/{new_id()}/s/1"
        segment = await appending.open(key, 0)
        await segment.write([b"abcUNCOMMITTED"], sync=True)
        await segment.close()
        segment = await appending.open(key, 3)
        assert await appending.size(key) == 14
        await segment.write([b"d"], sync=True)
        await segment.close()
        assert await appending.size(key) == 4

    async def test_a_held_segment_is_busy(self, appending: AppendingStorage) -> None:
        """Nobody opens a segment while another holds it; closing lets it go, twice is once."""
        key = f"work/{new_id()}/s/1"
        segment = await appending.open(key, 0)
        with pytest.raises(SegmentBusy):
            await appending.open(key, 0)
        await segment.close()
        await segment.close()
        await (await appending.open(key, 0)).close()

    async def test_a_segment_that_lost_bytes(self, appending: AppendingStorage) -> None:
        """A segment with fewer bytes than were acknowledged is BytesLost."""
        key = f"work/{new_id()}/s/1"
        with pytest.raises(BytesLost):
            await appending.open(key, 1)
        segment = await appending.open(key, 0)
        await segment.write([b"abc"], sync=True)
        await segment.close()
        with pytest.raises(BytesLost):
            await appending.open(key, 4)
        await (await appending.open(key, 3)).close()

    async def segments(self, storage: AppendingStorage, *parts: bytes) -> list[Source]:
        """Write segments, each with bytes behind its end that were not committed."""
        upload_id, found = new_id(), []
        for number, part in enumerate(parts, 1):
            key = f"work/{upload_id}/s/{number}"
            segment = await storage.open(key, 0)
            await segment.write([part, b"LATE"], sync=True)
            await segment.close()
            found.append(Source(key, 0, len(part)))
        return found

    @pytest.mark.parametrize("parts", [(b"abc",), (b"abc", b"defg", b"h"), (b"x" * 3_000_000, b"y" * 10_000_000)])
    async def test_segments_are_joined(self, appending: AppendingStorage, parts: tuple[bytes, ...]) -> None:
        """The object has the segments' bytes to their lengths; the segments are gone; again changes nothing."""
        found, key = await self.segments(appending, *parts), file_key()
        for _ in range(2):
            await appending.join(found, key)
            assert await content(appending, key, 0, sum(map(len, parts))) == b"".join(parts)
            assert await appending.size(key) == sum(map(len, parts))
        assert [one async for one in appending.keys("work/")] == []

    async def test_a_segment_that_somebody_still_holds_is_copied(self, appending: AppendingStorage) -> None:
        """A frozen writer may wake at any time: what it holds is not appended to, and what it writes later lands nowhere."""
        found, key = await self.segments(appending, b"abc", b"def"), file_key()
        frozen = await appending.open(found[0].key, 3)
        await appending.join(found, key)
        await frozen.write([b"woken up"], sync=True)
        await frozen.close()
        assert await content(appending, key, 0, 6) == b"abcdef"
        assert await appending.size(key) == 6

    async def test_a_missing_segment_is_bytes_lost(self, appending: AppendingStorage) -> None:
        """Joining what is not there, or is too short, is BytesLost."""
        found = await self.segments(appending, b"abc", b"def")
        await appending.delete([found[1].key])
        with pytest.raises(BytesLost):
            await appending.join(found, file_key())
        with pytest.raises(BytesLost):
            await appending.join([Source(found[0].key, 0, 1000)], file_key())

    async def test_objects_are_composed(self, appending: AppendingStorage) -> None:
        """Stretches of objects, some of them twice, make a new one; they stay as they are."""
        one, two, key = file_key(), file_key(), file_key()
        await appending.put(one, [b"abcdef"])
        await appending.put(two, [b"x" * 9_000_000])
        sources = [Source(one, 1, 3), Source(two, 0, 9_000_000), Source(one, 0, 0), Source(one, 0, 6)]
        for _ in range(2):
            await appending.compose(sources, key)
            assert await content(appending, key, 0, 9_000_009) == b"bcd" + b"x" * 9_000_000 + b"abcdef"
        assert await appending.size(one) == 6


class TestMultipart:
    """Promises of storages of write-once objects and numbered parts."""

    @pytest.fixture
    def multipart(self) -> MultipartStorage:
        """Open each adapter that has multipart uploads."""
        return MemoryStorage(min_part=10)

    async def parts(self, storage: MultipartStorage, key: str, *data: bytes) -> tuple[str, list[Part]]:
        """Begin, and store parts."""
        name = await storage.begin(key)
        return name, [Part(number, await storage.put_part(key, name, number, [one])) for number, one in enumerate(data, 1)]

    async def test_parts_become_an_object(self, multipart: MultipartStorage) -> None:
        """The object is its parts in the order of their numbers, gaps and all; the last may be small."""
        key = file_key()
        name = await multipart.begin(key)
        last = Part(9, await multipart.put_part(key, name, 9, [b"end"]))
        first = Part(2, await multipart.put_part(key, name, 2, [b"0123456789", b"abc"]))
        assert await multipart.size(key) is None
        await multipart.complete(key, name, [first, last])
        assert await content(multipart, key, 0, 16) == b"0123456789abcend"

    async def test_a_part_sent_again_replaces(self, multipart: MultipartStorage) -> None:
        """A part of the same number takes the place of the one before."""
        key = file_key()
        name, _ = await self.parts(multipart, key, b"wrong")
        await multipart.complete(key, name, [Part(1, await multipart.put_part(key, name, 1, [b"right"]))])
        assert await content(multipart, key, 0, 5) == b"right"

    async def test_a_part_that_is_too_small_is_refused(self, multipart: MultipartStorage) -> None:
        """Only the last part may be smaller than the least size; nothing is made, and the parts stay."""
        key = file_key()
        name, parts = await self.parts(multipart, key, b"small", b"last")
        with pytest.raises(StorageUnavailable):
            await multipart.complete(key, name, parts)
        assert await multipart.size(key) is None
        assert [one async for one in multipart.multiparts("files/")] == [(key, name)]

    async def test_what_was_aborted_or_completed_is_unknown(self, multipart: MultipartStorage) -> None:
        """An unknown multipart upload is BytesLost to put, copy and complete; aborting it succeeds and takes nothing away."""
        key = file_key()
        name, parts = await self.parts(multipart, key, b"data")
        await multipart.complete(key, name, parts)
        await multipart.abort(key, name)
        for call in (
            multipart.put_part(key, name, 1, [b"x"]),
            multipart.copy_part(key, name, 1, Source(key, 0, 1)),
            multipart.complete(key, name, parts),
        ):
            with pytest.raises(BytesLost):
                await call
        assert await content(multipart, key, 0, 4) == b"data"

    async def test_a_part_is_copied_inside_the_storage(self, multipart: MultipartStorage) -> None:
        """A part may be a stretch of another object."""
        source, key = file_key(), file_key()
        await multipart.put(source, [b"xx0123456789abcyy"])
        name = await multipart.begin(key)
        part = Part(1, await multipart.copy_part(key, name, 1, Source(source, 2, 13)))
        await multipart.complete(key, name, [part])
        assert await content(multipart, key, 0, 13) == b"0123456789abc"
        with pytest.raises(BytesLost):
            await multipart.copy_part(key, await multipart.begin(key), 1, Source(file_key(), 0, 1))


class TestLocal:
    """What only a directory has."""

    @pytest.mark.parametrize(
        "key", ["", "x", "other/a", "files/../a", "files/a/..", "/files/a", "files//a", "files/a b", "files/\0"]
    )
    async def test_a_key_of_another_shape_is_refused(self, tmp_path: Path, key: str) -> None:
        """No key leads out of the directory."""
        async with local(tmp_path) as storage:
            with pytest.raises(ValueError, match="not a key"):
                storage.path(key)

    async def test_a_key_is_written_once(self, tmp_path: Path) -> None:
        """A second put of a key fails, and the first stays."""
        async with local(tmp_path) as storage:
            key = file_key()
            await storage.put(key, [b"first"])
            with pytest.raises(StorageUnavailable):
                await storage.put(key, [b"second"])
            assert await content(storage, key, 0, 5) == b"first"

    async def test_errors_name_no_path(self, tmp_path: Path) -> None:
        """What goes wrong is a sentence without a path."""
        async with local(tmp_path / "store") as storage:
            for top in ("work", "files"):
                (tmp_path / "store" / top).rename(tmp_path / top)
            for call in (storage.put(file_key(), [b"x"]), storage.check()):
                with pytest.raises((StorageUnavailable, BytesLost)) as raised:
                    await call
                assert str(tmp_path) not in str(raised.value)
