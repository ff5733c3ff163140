"""The contract of ports.storage: what every adapter keeps."""

import asyncio

import pytest

from tests.ports.conftest import content, file_key
from tusfm.domain.errors import BytesLost
from tusfm.domain.upload import new_id
from tusfm.ports.storage import Storage


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
        for _, trial in storage.checks():
            await trial()
        assert [key async for key in storage.keys("work/")] == []
