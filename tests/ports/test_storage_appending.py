"""The contract of ports.storage: adapters that append."""

import uuid

import pytest

from tests.ports.conftest import content, file_key
from tusfm.domain.errors import BytesLost, SegmentBusy
from tusfm.domain.upload import new_id
from tusfm.ports.storage import AppendingStorage, Source


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
        await segment.write([b"abcUNCOMMITTED"])
        await segment.sync()
        await segment.close()
        segment = await appending.open(key, 3)
        assert await appending.size(key) == 14
        await segment.write([b"d"])
        await segment.sync()
        await segment.close()
        assert await appending.size(key) == 4

    async def test_a_segment_tells_whether_it_ends_where_its_writer_thinks(self, appending: AppendingStorage) -> None:
        """It is untouched with exactly the bytes that are known of; with more behind them it is not."""
        key = f"work/{new_id()}/s/1"
        for length, untouched in ((0, True), (3, True), (0, False), (3, False), (6, True)):
            segment = await appending.open(key, length)
            assert segment.untouched is untouched
            if untouched:
                await segment.write([b"abc"])
                await segment.sync()
            await segment.close()

    async def test_bytes_come_with_the_opening_where_nothing_has_to_be_looked_at(self, appending: AppendingStorage) -> None:
        """They are stored behind a segment that is new or ends where its writer thinks; else they are left to the caller."""
        key = f"work/{new_id()}/s/1"
        for length, size in ((0, 3), (3, 6), (3, 6), (6, 9)):
            segment = await appending.open(key, length, [b"a", b"bc"])
            await segment.close()
            assert await appending.size(key) == size
        assert await content(appending, key, 0, 9) == b"abcabcabc"

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
        await segment.write([b"abc"])
        await segment.sync()
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
            await segment.write([part, b"LATE"])
            await segment.sync()
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
        await frozen.write([b"woken up"])
        await frozen.sync()
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

    async def test_a_draft_takes_the_place_of_what_was_there(self, appending: AppendingStorage) -> None:
        """Into a draft of its own each attempt composes anew, whatever lies under the key they share."""
        chunk, key = f"work/c/{uuid.uuid4().hex}/0", f"private/{uuid.uuid4()}.txt"
        for number, data in enumerate((b"first", b"again", b"")):
            draft = f"work/{new_id()}/l/{number}"
            await appending.delete([chunk])
            await appending.put(chunk, [data])
            await appending.put(draft, [])
            await appending.compose([Source(chunk, 0, len(data))], key, draft)
            assert await content(appending, key, 0, len(data)) == data
            assert (await appending.size(key), await appending.size(draft)) == (len(data), None)

    async def test_a_draft_that_was_deleted_takes_no_place(self, appending: AppendingStorage) -> None:
        """Whoever takes a file over deletes the draft before it: that attempt wakes and has nothing to put there."""
        chunk, key = f"work/c/{uuid.uuid4().hex}/0", f"public/{uuid.uuid4()}.txt"
        await appending.put(chunk, [b"bytes"])
        draft = f"work/{new_id()}/l/1"
        await appending.put(draft, [])
        await appending.delete([draft])
        with pytest.raises(BytesLost):
            await appending.compose([Source(chunk, 0, 5)], key, draft)
        assert await appending.size(key) is None
