"""The contract of ports.metadata beside the uploads' own transactions: what processes ask each other, and the database."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.ports.conftest import opened_database
from tests.ports.uploads import claim, finalizing, made, message, segment
from tests.simulation.metadata import SimulatedMetadata
from tests.statements import overheard
from tusfm.adapters.database_mysql import Mysql
from tusfm.adapters.databases import MYSQL
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import Fenced, MetadataUnavailable
from tusfm.domain.upload import State, Upload, new_id
from tusfm.ports.metadata import Commit, Selection


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
    await metadata.db.write(lambda connection: connection.execute(statement).rowcount)


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

    async def test_who_has_not_been_heard_of_for_a_day_is_forgotten(self, metadata: SqlMetadata, other: SqlMetadata) -> None:
        """A process that begins takes away what dead ones left, and nobody else; one that comes back is alive again."""

        async def known() -> list[str]:
            statement = "SELECT id FROM processes ORDER BY id"
            return await metadata.db.read(lambda connection: [row[0] for row in connection.execute(statement)])

        for one in ("dead", "alive"):
            await metadata.beat(one)
        age = "UPDATE processes SET beat = beat - 86400001 WHERE id = 'dead'"
        await metadata.db.write(lambda connection: connection.execute(age).rowcount)
        await other.beat("new")
        assert await known() == ["alive", "new"]
        await metadata.beat("dead")
        assert await known() == ["alive", "dead", "new"]

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
        await metadata.db.write(lambda connection: connection.execute("UPDATE uploads SET created_at = 1000"))
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
        database = metadata.db
        around = ([], []) if isinstance(database, Mysql) else (["BEGIN"], ["COMMIT"])  # MySQL's connection says COMMIT below
        if isinstance(database, Mysql):

            def noted(statement: str) -> str:
                statements.append(statement.split(maxsplit=1)[0])
                return MYSQL.sql(statement)

            metadata.sql = noted
        with overheard(lambda statement: statements.append(statement.split()[0])):
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
