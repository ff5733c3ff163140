"""The contract of ports.storage: adapters of write-once objects and numbered parts."""

import contextlib
import uuid

import pytest

from tests.ports.conftest import content, file_key
from tusfm.domain.errors import BytesLost, StorageUnavailable
from tusfm.ports.storage import MultipartStorage, Part, Source

MIN_PART = 5 * 1024 * 1024
LEAST = bytes(range(256)) * (MIN_PART // 256)
"""The smallest part that need not be the last."""


class TestMultipart:
    """Promises of storages of write-once objects and numbered parts."""

    async def parts(self, storage: MultipartStorage, key: str, *data: bytes) -> tuple[str, list[Part]]:
        """Begin, and store parts."""
        name = await storage.begin(key)
        return name, [Part(number, await storage.put_part(key, name, number, [one])) for number, one in enumerate(data, 1)]

    async def test_parts_become_an_object(self, multipart: MultipartStorage) -> None:
        """The object is its parts in the order of their numbers, gaps and all; the last may be small."""
        key = file_key()
        name = await multipart.begin(key)
        last = Part(9, await multipart.put_part(key, name, 9, [b"end"]))
        first = Part(2, await multipart.put_part(key, name, 2, [LEAST, b"abc"]))
        assert await multipart.size(key) is None
        await multipart.complete(key, name, [first, last])
        assert await content(multipart, key, 0, MIN_PART + 6) == LEAST + b"abcend"

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
        """An unknown multipart upload is BytesLost to put and copy; aborting it succeeds and takes nothing away.

        Completing again what was completed may succeed (AWS), if the same parts are named.
        """
        key = file_key()
        name, parts = await self.parts(multipart, key, b"data")
        await multipart.complete(key, name, parts)
        await multipart.abort(key, name)
        for call in (
            multipart.put_part(key, name, 1, [b"x"]),
            multipart.copy_part(key, name, 1, Source(key, 0, 1)),
        ):
            with pytest.raises(BytesLost):
                await call
        with contextlib.suppress(BytesLost):
            await multipart.complete(key, name, parts)
        assert await content(multipart, key, 0, 4) == b"data"

    async def test_a_part_is_copied_inside_the_storage(self, multipart: MultipartStorage) -> None:
        """A part may be a stretch of another object."""
        source, key = file_key(), file_key()
        await multipart.put(source, [b"xx", LEAST, b"yy"])
        name = await multipart.begin(key)
        part = Part(1, await multipart.copy_part(key, name, 1, Source(source, 2, MIN_PART)))
        await multipart.complete(key, name, [part])
        assert await content(multipart, key, 0, MIN_PART) == LEAST
        with pytest.raises(BytesLost):
            await multipart.copy_part(key, await multipart.begin(key), 1, Source(file_key(), 0, 1))


class TestSharedKeys:
    """Keys that several attempts to compose a file share."""

    async def test_an_attempt_that_was_ended_writes_nothing(self, multipart: MultipartStorage) -> None:
        """Whatever its late parts and its late Complete are told, the object of the attempt after it stays as it is."""
        key = f"private/{uuid.uuid4()}.txt"
        late = await multipart.begin(key, "text/plain")
        part = Part(1, await multipart.put_part(key, late, 1, [b"old"]))
        await multipart.abort(key, late)
        name = await multipart.begin(key, "text/plain")
        again = Part(1, await multipart.put_part(key, name, 1, [b"new"]))
        await multipart.complete(key, name, [again])
        for call in (multipart.put_part(key, late, 2, [b"more"]), multipart.complete(key, late, [part])):
            with contextlib.suppress(BytesLost):  # some servers say yes when an object of this key is there
                await call
        assert (await multipart.size(key), await content(multipart, key, 0, 3)) == (3, b"new")
        assert [one async for one in multipart.multiparts("private/")] == []

    async def test_an_attempt_takes_the_place_of_the_one_before(self, multipart: MultipartStorage) -> None:
        """A completed object is replaced whole; unfinished ones are listed by their key."""
        key = f"public/{uuid.uuid4()}.txt"
        for data in (b"first", b"second", b""):
            name = await multipart.begin(key)
            assert (key, name) in [one async for one in multipart.multiparts("public/")]
            await multipart.complete(key, name, [Part(1, await multipart.put_part(key, name, 1, [data]))])
            assert await multipart.size(key) == len(data)
        await multipart.delete([key])

    async def test_a_whole_object_of_the_least_size_is_copied(self, multipart: MultipartStorage) -> None:
        """A chunk of 5 MiB becomes a part inside the storage, from the working objects into a file of a fixed key."""
        chunk, key = f"work/c/{uuid.uuid4().hex}/0", f"private/{uuid.uuid4()}.bin"
        await multipart.put(chunk, [LEAST])
        name = await multipart.begin(key, "application/x-of-a-kind")
        parts = [Part(n, await multipart.copy_part(key, name, n, Source(chunk, 0, MIN_PART, whole=True))) for n in (1, 2)]
        await multipart.complete(key, name, parts)
        assert await content(multipart, key, MIN_PART - 1, 2) == LEAST[-1:] + LEAST[:1]
        await multipart.delete([chunk, key])
