"""The contract of ports.metadata.Ending: each transaction, and what each guard keeps out."""

import asyncio
from typing import Any

import pytest

from tests.ports.uploads import finalizing, made, segment
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import BadConcatenation, Fenced, NotFound, TooLarge
from tusfm.domain.upload import Role, State, new_id
from tusfm.ports.metadata import Commit, NewUpload


class TestEnding:
    """Leases, publication, deletion, expiry."""

    async def test_a_lease_is_held_by_one(self, metadata: SqlMetadata, other: SqlMetadata) -> None:
        """Of many that take it one has it; a stale token neither renews, publishes nor fails."""
        upload = await finalizing(metadata)
        taken = [one for one in await asyncio.gather(*(m.take(upload.id) for m in (metadata, other) * 5)) if one]
        assert len(taken) == 1
        stale = taken[0].lease - 1
        for call in (
            metadata.renew(upload.id, stale),
            metadata.fail(upload.id, stale, "x", 100, []),
            metadata.publish(upload.id, stale, "k", []),
        ):
            with pytest.raises(Fenced):
                await call
        await metadata.renew(upload.id, taken[0].lease)
        await metadata.publish(upload.id, taken[0].lease, "files/x/2", [])
        after = await metadata.find(upload.id)
        assert after is not None
        assert (after.state, after.object_key) == (State.AVAILABLE, "files/x/2")
        assert await metadata.extents(upload.id) == []

    async def test_a_pause_stands_in_the_row(self, metadata: SqlMetadata) -> None:
        """A postponed finalization is taken again after its pause, and keeps its error."""
        upload = await finalizing(metadata)
        assert await metadata.unfinished(10) == [upload.id]
        taken = await metadata.take(upload.id)
        assert taken is not None
        await metadata.postpone(upload.id, taken.lease, "storage is away", 100)
        assert (await metadata.take(upload.id), await metadata.unfinished(10)) == (None, [])
        passed = "UPDATE uploads SET retry_at = retry_at - 100000"
        await metadata.db.write(lambda connection: connection.execute(passed).rowcount)
        again = await metadata.take(upload.id)
        assert again is not None
        assert (again.error, again.attempts) == ("storage is away", 2)

    async def test_deletion_empties_the_row_and_keeps_what_names_keys(self, metadata: SqlMetadata) -> None:
        """A tombstone has no metadata; it keeps its extents for the sweep, and is buried after a day."""
        upload = await finalizing(metadata, metadata="secret YQ==")
        was = await metadata.terminate(upload.id, None)
        assert was is not None
        assert await metadata.terminate(upload.id, None) is None
        stone = await metadata.find(upload.id)
        assert stone is not None
        assert (stone.state, stone.metadata, stone.gone) == (State.TERMINATED, "", True)
        assert (stone.epoch, stone.lease) == (3, 1)  # both raised: no writer and no finalizer finds its own
        assert [one.id for one in await metadata.tombstones(10)] == [upload.id]
        assert await metadata.extents(upload.id) == [segment(0, 5)]
        assert await metadata.bury(upload.id) is False

    async def test_only_what_has_ended_is_taken_back(self, metadata: SqlMetadata) -> None:
        """A creation that is taken back goes whole; said late, of a row that came again, it changes nothing."""
        refused, live = await made(metadata), await made(metadata)
        await metadata.terminate(refused.id, None)
        for one in (refused, live):
            await metadata.discard(one.id)
        assert [await metadata.find(one.id) is None for one in (refused, live)] == [True, False]

    async def test_what_failed_expires_too(self, metadata: SqlMetadata) -> None:
        """A row that failed while it was finished stays for its operator, and then goes with all that it names."""
        upload = await finalizing(metadata)
        taken = await metadata.take(upload.id)
        assert taken is not None
        await metadata.fail(upload.id, taken.lease, "gone", 0.01, [])
        await asyncio.sleep(0.05)
        assert await metadata.overdue(10) == [upload.id]
        assert await metadata.expire(upload.id, None) is not None

    async def test_only_what_is_overdue_expires(self, metadata: SqlMetadata) -> None:
        """Expiry compares in its own transaction: bytes that came in between keep the upload."""
        late, fresh = await made(metadata, expires_in=0.01), await made(metadata)
        never = await made(metadata, expires_in=None)
        await asyncio.sleep(0.05)
        assert await metadata.overdue(10) == [late.id]
        assert [await metadata.expire(one.id, None) for one in (fresh, never)] == [None, None]
        assert await metadata.expire(late.id, None) is not None
        found = await metadata.find(late.id)
        assert found is not None
        assert found.state is State.EXPIRED


class TestConcatenation:
    """Finals and partials."""

    async def partials(self, metadata: SqlMetadata, *sizes: int) -> list[str]:
        """Make available partials."""
        ids = []
        for size in sizes:
            upload = await made(metadata, length=size, role=Role.PARTIAL)
            commit = Commit(
                id=upload.id, epoch=0, offset=0, reached=size, seizes=True, state=State.AVAILABLE, object_key="files/p/1"
            )
            await metadata.commit(commit)
            ids.append(upload.id)
        return ids

    def final(self, **more: Any) -> NewUpload:
        """Describe a final."""
        return NewUpload(**{"id": new_id(), "length": None, "metadata": "", "role": Role.FINAL, "concat": "final;…", **more})

    async def test_a_final_knows_its_partials_in_order(self, metadata: SqlMetadata) -> None:
        """The list keeps its order and its repetitions, and the sum of known lengths stands in the row."""
        one, two = await self.partials(metadata, 3, 4)
        final = await metadata.concatenate(self.final(), [two, one, two], None)
        assert final.length == 11
        assert [partial.id for partial in await metadata.partials(final.id)] == [two, one, two]
        assert await metadata.ripe(10) == [final.id]

    async def test_the_same_list_is_the_same_final(self, metadata: SqlMetadata) -> None:
        """However ids are ordered, a list that made a live final finds it again, with the same metadata only."""
        one, two = await self.partials(metadata, 3, 4)
        first = await metadata.concatenate(self.final(), [one, two], None)
        for _ in range(8):
            assert (await metadata.concatenate(self.final(), [one, two], None)).id == first.id
        other = await metadata.concatenate(self.final(metadata="k"), [one, two], None)
        assert other.id != first.id
        await metadata.terminate(first.id, None)
        assert (await metadata.concatenate(self.final(), [one, two], None)).id not in {first.id, other.id}

    async def test_what_cannot_be_concatenated(self, metadata: SqlMetadata) -> None:
        """Unknown is NotFound, no partial is BadConcatenation, too much is TooLarge; nothing is created."""
        one, two = await self.partials(metadata, 3, 4)
        whole = await made(metadata)
        for wrong, error in (([new_id()], NotFound), ([one, whole.id], BadConcatenation), ([one, two], TooLarge)):
            final = self.final()
            with pytest.raises(error):
                await metadata.concatenate(final, wrong, 6)
            assert await metadata.find(final.id) is None

    async def test_a_partial_in_use_is_not_freed(self, metadata: SqlMetadata) -> None:
        """A partial is freed when its finals are done for an hour, not before."""
        one, *_ = await self.partials(metadata, 3)
        final = await metadata.concatenate(self.final(), [one], None)
        assert await metadata.ripen(final.id, None, []) is True
        assert (await metadata.freeable(10), await metadata.free(one)) == ([], None)

    async def test_a_final_fails_with_its_partial(self, metadata: SqlMetadata) -> None:
        """Deleting a partial fails its unfinished finals in the same transaction."""
        one, two = await self.partials(metadata, 3, 4)
        final = await metadata.concatenate(self.final(), [one, two], None)
        await metadata.terminate(two, None)
        found = await metadata.find(final.id)
        assert found is not None
        assert (found.state, found.gone) == (State.FAILED, True)
