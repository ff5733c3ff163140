"""The contract of ports.metadata.Receiving: each transaction, and what each guard keeps out."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.ports.uploads import claim, finalizing, gone, made, segment
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import Fenced
from tusfm.domain.upload import Extent, ExtentKind, State
from tusfm.ports.metadata import Commit


class TestClaims:
    """Who may write."""

    async def test_a_claim_raises_the_epoch(self, metadata: SqlMetadata) -> None:
        """A claim at the right offset has the next epoch, the row, and its tails and segments."""
        upload = await made(metadata)
        first = await metadata.claim(claim(upload))
        assert first is not None
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=7, add=[segment(0, 7)]))
        second = await metadata.claim(claim(upload, 7))
        assert second is not None
        assert (first[0].epoch, second[0].epoch, second[0].offset, second[1]) == (1, 2, 7, [segment(0, 7)])

    @pytest.mark.parametrize(
        "wrong",
        [
            {"offset": 1},
            {"size": 101},
            {"length": 99},
            {"id": "0" * 32},
        ],
    )
    async def test_a_claim_that_does_not_fit_changes_nothing(self, metadata: SqlMetadata, wrong: dict[str, Any]) -> None:
        """Another offset, a body over the length, another length, or no such upload: None, and nobody is disturbed."""
        upload = await made(metadata)
        assert await metadata.claim(claim(upload, **wrong)) is None
        after = await metadata.find(upload.id)
        assert after is not None
        assert (after.epoch, after.writer) == (0, None)

    async def test_a_deferred_length_is_set_by_a_claim_above_the_offset(self, metadata: SqlMetadata) -> None:
        """The length is set once; a limit binds what has none."""
        upload = await made(metadata, length=None)
        assert await metadata.claim(claim(upload, size=11, limit=10)) is None
        assert await metadata.claim(claim(upload, length=0)) is None
        claimed = await metadata.claim(claim(upload, length=50, size=50, limit=100))
        assert claimed is not None
        assert claimed[0].length == 50
        assert await metadata.claim(claim(upload, length=51)) is None

    async def test_an_expired_upload_cannot_be_claimed(self, metadata: SqlMetadata) -> None:
        """Expiry is in the claim's condition, by the database's clock."""
        upload = await made(metadata, expires_in=0.01)
        await asyncio.sleep(0.05)
        assert await metadata.claim(claim(upload)) is None

    async def test_of_many_claims_each_has_its_own_epoch(self, metadata: SqlMetadata, other: SqlMetadata) -> None:
        """Claims at once, from two processes, never share an epoch."""
        upload = await made(metadata)
        claims = [(metadata, other)[n % 2].claim(claim(upload, writer=str(n))) for n in range(12)]
        epochs = [found[0].epoch for found in await asyncio.gather(*claims) if found]
        assert sorted(epochs) == list(range(1, 13))


class TestCommits:
    """How the offset moves."""

    @pytest.mark.parametrize("wrong", [{"epoch": 0}, {"epoch": 2}, {"offset": 1}])
    async def test_a_commit_of_another_epoch_or_offset_is_fenced(self, metadata: SqlMetadata, wrong: dict[str, Any]) -> None:
        """A writer that was taken over, or repeats itself, moves nothing."""
        upload = await made(metadata)
        await metadata.claim(claim(upload))
        with pytest.raises(Fenced):
            await metadata.commit(replace(Commit(id=upload.id, epoch=1, offset=0, reached=9, add=[segment(0, 9)]), **wrong))
        assert await metadata.extents(upload.id) == []

    async def test_the_offset_and_what_holds_the_bytes_move_together(self, metadata: SqlMetadata) -> None:
        """Extents are added, grown in place and removed by the commit that moves the offset."""
        upload = await made(metadata)
        await metadata.claim(claim(upload))
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=5, add=[segment(0, 5)]))
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=5, reached=9, remove=[segment(0, 5)], add=[segment(0, 9)]))
        assert await metadata.extents(upload.id) == [segment(0, 9)]
        part = Extent(ExtentKind.PART, 0, 20, "files/x/1", 1, "etag")
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=9, reached=20, remove=[segment(0, 9)], add=[part]))
        assert await metadata.extents(upload.id, ExtentKind.PART) == [part]
        assert await metadata.extents(upload.id, ExtentKind.SEGMENT, ExtentKind.TAIL) == []

    async def test_many_extents_make_room_for_one(self, metadata: SqlMetadata) -> None:
        """Those that are named go, however many they are, and no other one."""
        upload = await made(metadata)
        await metadata.claim(claim(upload))
        tails = [Extent(ExtentKind.TAIL, start, 1, f"work/x/t/1-{start}") for start in range(40)]
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=40, add=tails))
        part = Extent(ExtentKind.PART, 0, 37, "files/x/1", 1, "etag")
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=40, reached=41, remove=tails[:37], add=[part]))
        assert await metadata.extents(upload.id) == [part, *tails[37:]]

    async def test_whoever_ends_the_upload_raises_the_epoch(self, metadata: SqlMetadata) -> None:
        """After the commit that changes the state no late commit of the same writer finds its epoch."""
        upload = await finalizing(metadata)
        after = await metadata.find(upload.id)
        assert after is not None
        assert (after.state, after.epoch, after.writer) == (State.FINALIZING, 2, None)
        with pytest.raises(Fenced):
            await metadata.commit(Commit(id=upload.id, epoch=1, offset=5, reached=5))

    async def test_a_seizing_commit_is_its_own_claim(self, metadata: SqlMetadata) -> None:
        """Of two that saw the same epoch one wins; the old writer is fenced."""
        upload = await made(metadata)
        first = Commit(id=upload.id, epoch=0, offset=0, reached=5, seizes=True)
        await metadata.commit(first)
        with pytest.raises(Fenced):
            await metadata.commit(first)

    @pytest.mark.parametrize("more", [{}, {"seizes": True}, {"releases": True}, {"state": State.AVAILABLE}])
    async def test_no_commit_brings_back_what_has_expired(self, metadata: SqlMetadata, more: dict[str, Any]) -> None:
        """A writer that was too slow, or stood still, is fenced: clients were told that the upload is gone."""
        upload = await made(metadata)
        await metadata.claim(claim(upload, expires_in=0.01))
        await asyncio.sleep(0.05)
        with pytest.raises(Fenced):
            await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=5, expires_in=100, **more))
        assert await gone(metadata, upload)

    async def test_a_running_request_puts_expiry_off_and_brings_nothing_back(self, metadata: SqlMetadata) -> None:
        """A heartbeat renews what its process writes to, and not what has expired while it was too late."""
        alive, late = await made(metadata), await made(metadata)
        await metadata.claim(claim(alive, expires_in=20))
        await metadata.claim(claim(late, expires_in=0.01))
        await asyncio.sleep(0.05)
        await metadata.touch("one", 1000)
        found = await metadata.find(alive.id)
        assert found is not None
        assert found.expires_at is not None
        assert found.expires_at - found.seen_at > 500_000
        assert await gone(metadata, late)

    async def test_nothing_comes_back_to_life(self, metadata: SqlMetadata) -> None:
        """A commit after DELETE is fenced, and so is a publication."""
        upload = await made(metadata)
        await metadata.claim(claim(upload))
        await metadata.terminate(upload.id, None)
        with pytest.raises(Fenced):
            await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=5))
        ending = await finalizing(metadata)
        taken = await metadata.take(ending.id)
        assert taken is not None
        await metadata.terminate(ending.id, None)
        with pytest.raises(Fenced):
            await metadata.publish(ending.id, taken.lease, "files/x/1", [])

    async def test_part_numbers_are_reserved_and_given_back(self, metadata: SqlMetadata) -> None:
        """Numbers are taken under the epoch, ride on commits, and are given back by its holder only."""
        upload = await made(metadata)
        await metadata.claim(claim(upload))
        assert await metadata.begin_multipart(upload.id, 1, "files/x/1", "mpu", 2) == 1
        assert await metadata.reserve(upload.id, 1, 2) == 3
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=5, reserve=-1))
        assert await metadata.reserve(upload.id, 1, 1) == 4
        for late in (metadata.reserve(upload.id, 0, 2), metadata.begin_multipart(upload.id, 0, "k", "m", 2)):
            with pytest.raises(Fenced):
                await late
        with pytest.raises(Fenced):
            await metadata.begin_multipart(upload.id, 1, "files/x/2", "second", 2)

    async def test_a_turn_replaces_parts_by_their_piece(self, metadata: SqlMetadata) -> None:
        """A worn multipart upload leaves a piece, and numbers begin again."""
        upload = await made(metadata)
        await metadata.claim(claim(upload))
        await metadata.begin_multipart(upload.id, 1, "files/x/1", "mpu", 2)
        part = Extent(ExtentKind.PART, 0, 20, "files/x/1", 1, "etag")
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=20, add=[part]))
        piece = Extent(ExtentKind.PIECE, 0, 20, "files/x/1")
        with pytest.raises(Fenced):
            await metadata.turn(upload.id, 1, "another", piece)
        await metadata.turn(upload.id, 1, "mpu", piece)
        assert await metadata.extents(upload.id) == [piece]
        await metadata.begin_multipart(upload.id, 1, "files/x/2", "next", 2)
        uncounted = Extent(ExtentKind.PIECE, 20, 0, "files/x/2")
        await metadata.turn(upload.id, 1, "next", uncounted)
        await metadata.begin_multipart(upload.id, 1, "files/x/3", "third", 2)
        await metadata.turn(upload.id, 1, "third", replace(uncounted, key="files/x/3"))
        assert (await metadata.extents(upload.id))[1:] == [replace(uncounted, key="files/x/3")]
        assert await metadata.begin_multipart(upload.id, 1, "files/x/1-1", "mpu2", 2) == 1
