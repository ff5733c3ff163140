"""The contract of ports.metadata: each transaction, and what each guard keeps out."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.ports.conftest import opened_database
from tests.ports.uploads import claim, finalizing, made, message, segment
from tests.simulation.metadata import SimulatedMetadata
from tusfm.adapters.database_mysql import Mysql
from tusfm.adapters.database_sqlite import Sqlite
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import BadConcatenation, Fenced, MetadataUnavailable, NotFound, TooLarge
from tusfm.domain.upload import Extent, ExtentKind, Role, State, Upload, new_id
from tusfm.ports.metadata import Commit, NewUpload, Selection


async def four(metadata: SqlMetadata) -> dict[str, str]:
    """Make a (100 bytes, an hour old), b (Ann's, no length), c (5 bytes, available), d (100 bytes); returns their names."""
    a, b = await made(metadata), await made(metadata, length=None, owner="ann")
    c = await finalizing(metadata)
    taken = await metadata.take(c.id)
    assert taken is not None
    await metadata.publish(c.id, taken.lease, "files/x/1", ())
    d = await made(metadata)
    for seconds, one in enumerate((d, c, b)):
        await backdate(metadata, one, seconds)
    await backdate(metadata, a, 3600)
    return {a.id: "a", b.id: "b", c.id: "c", d.id: "d"}


async def backdate(metadata: SqlMetadata, upload: Upload, seconds: int) -> None:
    """Make an upload older."""
    statement = f"UPDATE uploads SET created_at = {upload.created_at - seconds * 1000} WHERE id = '{upload.id}'"
    await metadata.db.write(lambda connection: connection.exec_driver_sql(statement).rowcount)


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
        await metadata.postpone(upload.id, taken.lease, "storage is away", 0.2)
        assert (await metadata.take(upload.id), await metadata.unfinished(10)) == (None, [])
        await asyncio.sleep(0.25)
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


class TestBetweenProcesses:
    """What processes say to each other through the database."""

    async def test_a_status_request_reaches_the_writer(self, metadata: SqlMetadata, other: SqlMetadata) -> None:
        """Asking marks the row; the writer's process hears it in one query; its commit takes the mark away."""
        upload = await made(metadata)
        await metadata.claim(claim(upload))
        await metadata.beat("one")
        assert await other.ask(upload.id) is True
        heard = await metadata.heard("one")
        assert [(one.id, one.epoch, one.wanted) for one in heard] == [(upload.id, 1, True)]
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=4))
        seen = await other.find(upload.id)
        assert seen is not None
        assert (seen.wanted, seen.writer_alive) == (False, True)

    async def test_nobody_is_asked_who_cannot_answer(self, metadata: SqlMetadata) -> None:
        """A writer whose checksum is not known to be right is not asked; nor is one that is gone."""
        upload = await made(metadata)
        assert await metadata.ask(upload.id) is False
        await metadata.claim(claim(upload, answers=False))
        assert await metadata.ask(upload.id) is False
        seen = await metadata.find(upload.id)
        assert seen is not None
        assert seen.writer_alive is False

    async def test_a_duty_is_one_process_s(self, metadata: SqlMetadata, other: SqlMetadata) -> None:
        """One process sweeps at a time; when its time is over another may."""
        assert await metadata.lead("sweep", "one", 1000) is True
        assert (await other.lead("sweep", "two", 1000), await metadata.lead("sweep", "one", 0)) == (False, True)
        await asyncio.sleep(0.05)
        assert await other.lead("sweep", "two", 1000) is True

    async def test_messages_are_written_with_the_change_and_go_once_confirmed(
        self, metadata: SqlMetadata, other: SqlMetadata
    ) -> None:
        """A process sees its own messages at once, another's after five seconds; confirmed ones are gone."""
        upload = await made(metadata, messages=[])
        said = message(upload, "created")
        await made(metadata, messages=[said])
        pending = await metadata.pending("one", 10)
        assert [one.message for one in pending] == [said]
        assert await other.pending("two", 10) == []
        await metadata.confirm([one.number for one in pending])
        assert await metadata.pending("one", 10) == []

    async def test_a_fenced_change_sends_nothing(self, metadata: SqlMetadata) -> None:
        """A transaction that was refused leaves no message."""
        upload = await made(metadata)
        with pytest.raises(Fenced):
            await metadata.commit(Commit(id=upload.id, epoch=9, offset=0, reached=5, messages=[message(upload)]))
        assert await metadata.pending("one", 10) == []

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ({}, "dcba"),
            ({"limit": 2}, "dc"),
            ({"states": [State.AVAILABLE, State.TERMINATED]}, "c"),
            ({"smallest": 100}, "da"),
            ({"largest": 99}, "cb"),
            ({"smallest": 5, "largest": 5}, "c"),
            ({"younger": 1000}, "dcb"),
            ({"older": 1000}, "a"),
            ({"older": 1000, "states": [State.AVAILABLE]}, ""),
            ({"owner": "ann"}, "b"),
            ({"owner": "ANN"}, ""),
        ],
    )
    async def test_uploads_are_selected_newest_first(self, metadata: SqlMetadata, wanted: dict[str, Any], found: str) -> None:
        """By state, age and size, alone or together."""
        made_ids = await four(metadata)
        uploads = await metadata.select(Selection(**{"limit": 10, **wanted}))
        assert "".join(made_ids[one.id] for one in uploads) == found

    async def test_pages_leave_nothing_out(self, metadata: SqlMetadata) -> None:
        """Each page goes on behind the last upload of the one before, those of the same moment too."""
        names = {(await made(metadata)).id for _ in range(7)}
        await metadata.db.write(lambda connection: connection.exec_driver_sql("UPDATE uploads SET created_at = 1000"))
        seen: list[str] = []
        before = None
        while page := await metadata.select(Selection(limit=3, before=before)):
            seen += [one.id for one in page]
            before = page[-1].created_at, page[-1].id
        assert (set(seen), len(seen)) == (names, 7)

    async def test_a_census_counts_uploads_and_messages(self, metadata: SqlMetadata) -> None:
        """Every state is there, with how many are in it; the oldest message has an age; what fails again and again shows."""
        empty = await metadata.census()
        assert (set(empty.uploads.values()), empty.failing, empty.messages, empty.oldest) == ({0}, 0, 0, 0)
        upload = await made(metadata)
        await made(metadata, messages=[message(upload), message(upload)])
        failing = await finalizing(metadata)
        for _ in range(3):
            taken = await metadata.take(failing.id)
            assert taken is not None
            await metadata.postpone(failing.id, taken.lease, "away", 0)
        await metadata.terminate((await made(metadata)).id, None)
        census = await metadata.census()
        counts = {state: count for state, count in census.uploads.items() if count}
        assert counts == {State.RECEIVING: 2, State.FINALIZING: 1, State.TERMINATED: 1}
        assert set(census.uploads) == set(State)
        assert (census.failing, census.messages) == (1, 2)
        assert 0 <= census.oldest < 60


class TestDatabase:
    """What the adapter does about the database itself."""

    async def test_ids_are_compared_whole(self, metadata: SqlMetadata) -> None:
        """'ABC' is not 'abc', nor is 'abc '."""
        upload = await made(metadata, id="abcdef" + "0" * 26)
        for near in (upload.id.upper(), upload.id + " ", "\u00e0" + upload.id[1:]):
            assert await metadata.find(near) is None

    async def test_a_database_that_is_not_migrated(self, tmp_path: Path) -> None:
        """Without its tables the database is away, says so in a sentence, and `migrated` is False."""
        path = tmp_path / "empty.sqlite3"
        path.touch()
        async for one in opened_database(f"sqlite:///{path}", "one"):
            assert await one.migrated() is False
            with pytest.raises(MetadataUnavailable, match="tusfm migrate"):
                await one.find(new_id())

    async def test_a_row_of_every_size(self, metadata: SqlMetadata) -> None:
        """Sizes to 2^63 - 1 and metadata of 16 KiB are kept."""
        upload = await made(metadata, length=2**63 - 1, metadata="k " + "YWJj" * 4000)
        found = await metadata.find(upload.id)
        assert found is not None
        assert (found.length, found.metadata) == (2**63 - 1, upload.metadata)

    async def test_what_each_step_costs(self, metadata: SqlMetadata) -> None:
        """HEAD is one query; a creation, a claim and a commit are one transaction each, of so many statements."""
        if isinstance(metadata, SimulatedMetadata):
            pytest.skip("its statements are those of the other two")
        statements: list[str] = []
        here = isinstance(metadata.db, Sqlite)
        database = metadata.db
        if isinstance(database, Sqlite):
            engines = [database._writer, database._reader]
        else:
            assert isinstance(database, Mysql)
            engines = [database.reading.sync_engine, database.writing.sync_engine]
        for engine in engines:
            event.listen(engine, "before_cursor_execute", lambda *said: statements.append(said[2].split()[0]))
        around = (["BEGIN"], ["COMMIT"]) if here else ([], [])  # MySQL's driver sends them by itself
        upload = await made(metadata)
        assert statements == [*around[0], "INSERT", *around[1]]
        statements.clear()
        await metadata.find(upload.id)
        assert statements == ["SELECT"]
        statements.clear()
        await metadata.claim(claim(upload))
        assert statements == [*around[0], "UPDATE", "SELECT", *around[1]]
        statements.clear()
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=5, add=[segment(0, 5)]))
        assert statements == [*around[0], "UPDATE", "INSERT", *around[1]]
