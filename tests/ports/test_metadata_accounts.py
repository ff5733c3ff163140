"""The contract of ports.metadata about accounts: what is charged, what is given back, and that nobody gets over a quota."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.ports.uploads import claim, made
from tests.statements import overheard
from tusfm.adapters.database_sqlite import Sqlite
from tusfm.adapters.databases import MYSQL
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import DeploymentFull, OverQuota, OwnerFull, TooManyUnfinished, TooManyUploads
from tusfm.domain.quotas import STEP_BYTES, Account, Charge, Quotas, judge, stepped
from tusfm.domain.upload import Role, State, Upload, new_id
from tusfm.ports.metadata import Commit, NewUpload

MANY = Quotas(owner_bytes=10**12)


@pytest.fixture(params=["migrated_sqlite", "empty_mysql"], ids=["sqlite", "mysql"])
def url(request: pytest.FixtureRequest) -> str:
    """Give an empty database on each server in turn; the simulation keeps no accounts."""
    return str(request.getfixturevalue(request.param))


@asynccontextmanager
async def keeping(url: str, quotas: Quotas = MANY, process: str = "one") -> AsyncIterator[SqlMetadata]:
    """Open a database as a process with these quotas."""
    one = SqlMetadata(url, process, 10, quotas)
    await one.start()
    yield one
    await one.close()


async def accounts(metadata: SqlMetadata) -> dict[str, tuple[int, int]]:
    """Read bytes and unfinished uploads of each account, and see that they are what the uploads' rows say."""
    statement = "SELECT name, `stored`, unfinished FROM accounts"
    found = await metadata.db.read(lambda connection: connection.execute(statement).all())
    kept = {row[0]: (row[1], row[2]) for row in found}
    statement = "SELECT owner, SUM(charged), SUM(counted) FROM uploads WHERE charged IS NOT NULL GROUP BY owner"
    rows = await metadata.db.read(lambda connection: connection.execute(statement).all())
    expected = {f"={owner or ''}": (int(stored), int(unfinished)) for owner, stored, unfinished in rows}
    expected["*"] = (sum(one[0] for one in expected.values()), sum(one[1] for one in expected.values()))
    assert kept == expected
    return kept


async def commit(metadata: SqlMetadata, upload: Upload, reached: int, **more: Any) -> None:
    """Move the offset of an upload that was claimed."""
    await metadata.commit(
        Commit(id=upload.id, epoch=upload.epoch, offset=upload.offset, reached=reached, settles=True, **more)
    )


async def claimed(metadata: SqlMetadata, upload: Upload, offset: int = 0, **more: Any) -> Upload:
    """Claim an upload."""
    found = await metadata.claim(claim(upload, offset, **more))
    assert found is not None
    return found[0]


class TestCharging:
    """What a transaction charges, and what another gives back."""

    async def test_a_length_is_charged_at_once_and_given_back_at_the_end(self, url: str) -> None:
        """The declared length counts from the creation to the deletion; the number of unfinished ones until it is whole."""
        async with keeping(url) as metadata:
            one, _ = await made(metadata, owner="bob"), await made(metadata, owner=None)
            assert (one.charged, await accounts(metadata)) == (100, {"=bob": (100, 1), "=": (100, 1), "*": (200, 2)})
            await commit(metadata, await claimed(metadata, one), 100, state=State.AVAILABLE, object_key="k")
            assert (await accounts(metadata))["=bob"] == (100, 0)
            await metadata.terminate(one.id, None)
            assert (await accounts(metadata))["=bob"] == (0, 0)

    @pytest.mark.parametrize("end", ["expire", "lose", "fail"])
    async def test_each_end_gives_back(self, url: str, end: str) -> None:
        """So do expiry, and the loss of the bytes."""
        async with keeping(url) as metadata:
            one = await made(metadata, expires_in=0 if end == "expire" else 100)
            await asyncio.sleep(0.01)
            if end == "expire":
                assert await metadata.expire(one.id, None) is not None
            elif end == "lose":
                await metadata.lose(one.id, 0, "gone", [])
            else:
                await commit(metadata, await claimed(metadata, one), 100, state=State.FINALIZING)
                taken = await metadata.take(one.id)
                assert taken is not None
                await metadata.fail(one.id, taken.lease, "gone", 100, [])
            assert (await accounts(metadata))["*"] == (0, 0)

    async def test_steps(self, url: str) -> None:
        """Without a length nothing is charged, then a step with the commit that needs it, and what it has at its end."""
        async with keeping(url) as metadata:
            one = await claimed(metadata, await made(metadata, length=None))
            assert (await accounts(metadata))["*"] == (0, 1)
            await commit(metadata, one, 5)
            assert (await accounts(metadata))["*"] == (STEP_BYTES, 1)
            await commit(metadata, replace(one, offset=5), STEP_BYTES + 1)
            assert (await accounts(metadata))["*"] == (2 * STEP_BYTES, 1)
            rest = replace(one, offset=STEP_BYTES + 1)
            await commit(metadata, rest, STEP_BYTES + 2, length=STEP_BYTES + 2, state=State.FINALIZING)
            assert (await accounts(metadata))["*"] == (STEP_BYTES + 2, 0)

    async def test_a_length_that_comes_later(self, url: str) -> None:
        """A claim that declares it charges for it, and no longer for steps."""
        async with keeping(url) as metadata:
            one = await claimed(metadata, await made(metadata, length=None), size=10)
            assert (await accounts(metadata))["*"] == (STEP_BYTES, 1)
            await claimed(metadata, one, length=70)
            assert (await accounts(metadata))["*"] == (70, 1)

    async def test_commits_on_the_way_touch_no_account(self, url: str) -> None:
        """Neither those of a known length, nor those within a step."""
        async with keeping(url) as metadata:
            deferred = await claimed(metadata, await made(metadata, length=None), size=10)
            known = await claimed(metadata, await made(metadata))
            statements: list[str] = []
            if not isinstance(metadata.db, Sqlite):

                def noted(statement: str) -> str:
                    statements.append(statement)
                    return MYSQL.sql(statement)

                metadata.sql = noted
            with overheard(statements.append):
                await commit(metadata, deferred, 10)
                await metadata.commit(Commit(id=known.id, epoch=1, offset=0, reached=10))
            assert statements
            assert not any("accounts" in statement for statement in statements)

    async def test_a_final_is_charged_for_what_its_partials_do_not_pay(self, url: str) -> None:
        """A file that came in parts is not paid for twice, though both lie in storage for an hour."""
        async with keeping(url) as metadata:
            parts = [await self.partial(metadata) for _ in range(2)]
            names = [one.id for one in parts]
            final = await metadata.concatenate(self.final(), names, None)
            assert (await accounts(metadata))["=bob"] == (200, 1)
            again = await metadata.concatenate(replace(self.final(), metadata="k"), [*names, names[0]], None)
            assert (await accounts(metadata))["=bob"] == (500, 2)
            await metadata.terminate(again.id, None)
            assert (await accounts(metadata))["=bob"] == (200, 1)
            assert await metadata.ripen(final.id, None, []) is True
            assert (await accounts(metadata))["=bob"] == (200, 0)
            taken = await metadata.take(final.id)
            assert taken is not None
            await metadata.publish(final.id, taken.lease, "k", [])
            await metadata.db.write(
                lambda connection: metadata.run(connection, "UPDATE uploads SET finished_at = 0").rowcount
            )
            assert [await metadata.free(name) is not None for name in names] == [True, True]
            assert (await accounts(metadata))["=bob"] == (200, 0)
            await metadata.terminate(final.id, None)
            assert (await accounts(metadata))["=bob"] == (0, 0)

    async def test_a_final_that_ends_with_its_partial(self, url: str) -> None:
        """Deleting a partial fails its final, and both give back."""
        async with keeping(url) as metadata:
            one, two = await self.partial(metadata), await made(metadata, role=Role.PARTIAL, owner="bob")
            await metadata.concatenate(self.final(), [one.id, one.id, two.id], None)
            assert (await accounts(metadata))["=bob"] == (300, 2)
            await metadata.terminate(two.id, None)
            assert (await accounts(metadata))["=bob"] == (100, 0)

    async def partial(self, metadata: SqlMetadata) -> Upload:
        """Make a finished partial."""
        one = await made(metadata, role=Role.PARTIAL, owner="bob")
        await commit(metadata, await claimed(metadata, one), 100, state=State.AVAILABLE, object_key="k")
        return one

    def final(self) -> NewUpload:
        """Name a final."""
        return NewUpload(id=new_id(), length=None, metadata="", role=Role.FINAL, owner="bob")

    async def test_what_was_taken_is_given_back_whatever_is_set(self, url: str) -> None:
        """When quotas are no longer set, new uploads are not charged, and charged ones still give back."""
        async with keeping(url) as metadata, keeping(url, Quotas(), "two") as later:
            one = await made(metadata)
            assert (await made(later)).charged is None
            await commit(later, await claimed(later, one), 100, state=State.AVAILABLE, object_key="k")
            assert (await accounts(metadata))["*"] == (100, 0)
            await later.terminate(one.id, None)
            assert (await accounts(metadata))["*"] == (0, 0)

    async def test_uploads_from_before_are_counted(self, url: str) -> None:
        """Once quotas are set, what is there already is charged, over any limit, but for what is just being written."""
        async with keeping(url, Quotas(), "two") as before, keeping(url, Quotas(owner_bytes=1)) as metadata:
            one, two = await made(before), await claimed(before, await made(before, length=None))
            assert [await metadata.charge_older(10) for _ in range(2)] == [1, 0]
            assert (await accounts(metadata))["*"] == (100, 1)
            with pytest.raises(OwnerFull):
                await made(metadata)
            await before.release(two.id, 1)
            assert (await before.charge_older(10), await metadata.charge_older(10)) == (0, 1)
            found = await metadata.find(one.id)
            assert found is not None
            assert (found.epoch, found.charged) == (1, 100)


class TestLimits:
    """Nobody gets over a quota."""

    async def test_a_refused_creation_leaves_nothing(self, url: str) -> None:
        """Over a quota there is no row, and no charge; another owner has room."""
        async with keeping(url, Quotas(owner_bytes=150)) as metadata:
            await made(metadata, owner="bob")
            with pytest.raises(OwnerFull, match="150 bytes together, and 100"):
                await metadata.create(NewUpload(id="0" * 32, length=51, metadata="", owner="bob"))
            assert await metadata.find("0" * 32) is None
            await made(metadata, owner="bob", length=50)
            await made(metadata, owner="eve")
            assert await accounts(metadata) == {"=bob": (150, 2), "=eve": (100, 1), "*": (250, 3)}

    async def test_a_refused_claim_or_commit_changes_nothing(self, url: str) -> None:
        """A body that would not fit is refused before its bytes; one of unknown size at the commit that is over."""
        async with keeping(url, Quotas(owner_bytes=100)) as metadata:
            upload = await made(metadata, length=None)
            with pytest.raises(OwnerFull):
                await metadata.claim(claim(upload, size=101))
            with pytest.raises(OwnerFull):
                await metadata.claim(claim(upload, length=101))
            one = await claimed(metadata, upload)
            await commit(metadata, one, 99)
            assert (await accounts(metadata))["*"] == (99, 1)
            with pytest.raises(OwnerFull):
                await commit(metadata, replace(one, offset=99), 101)
            await commit(metadata, replace(one, offset=99), 100)
            found = await metadata.find(upload.id)
            assert found is not None
            assert (found.epoch, found.offset, found.length) == (1, 100, None)

    async def test_a_final_that_turns_out_over_a_quota_fails(self, url: str) -> None:
        """When the sum of its partials is known, and is too much, the final is failed and charged nothing."""
        async with keeping(url, Quotas(owner_bytes=15)) as metadata:
            part = await made(metadata, role=Role.PARTIAL, length=None, owner="bob")
            final = await metadata.concatenate(TestCharging().final(), [part.id, part.id], None)
            ended = await claimed(metadata, part)
            await commit(metadata, ended, 10, length=10, state=State.AVAILABLE, object_key="k")
            assert await metadata.ripen(final.id, None, []) is False
            found = await metadata.find(final.id)
            assert found is not None
            assert (found.state, found.error) == (
                State.FAILED,
                "Your uploads may have 15 bytes together, and 10 of them are taken.",
            )
            assert (await accounts(metadata))["=bob"] == (10, 0)

    @pytest.mark.parametrize(
        ("quotas", "kind", "fits"),
        [
            (Quotas(owner_bytes=1000), OwnerFull, 10),
            (Quotas(total_bytes=700), DeploymentFull, 7),
            (Quotas(owner_unfinished=5), TooManyUnfinished, 5),
        ],
    )
    async def test_three_processes_at_once(self, url: str, quotas: Quotas, kind: type[OverQuota], fits: int) -> None:
        """Of thirty creations in three processes as many succeed as fit, and not one more."""
        async with keeping(url, quotas) as one, keeping(url, quotas, "two") as two, keeping(url, quotas, "three") as three:
            waiting = [made(metadata, owner="bob") for metadata in (one, two, three) for _ in range(10)]
            done = await asyncio.gather(*waiting, return_exceptions=True)
            assert sum(isinstance(upload, Upload) for upload in done) == fits
            assert all(isinstance(other, (Upload, kind)) for other in done)
            assert (await accounts(one))["=bob"] == (fits * 100, fits)


class TestMinutes:
    """How many uploads a minute."""

    def test_a_minute_has_so_many(self) -> None:
        """The next minute begins anew; the answer says in how many seconds."""
        quotas, total = Quotas(owner_per_minute=3), Account(stored=0, unfinished=0, minute=0, made=0)
        full = Account(stored=0, unfinished=0, minute=120_000, made=3)
        with pytest.raises(TooManyUploads) as raised:
            judge(quotas, full, total, Charge(made=1), 130_500)
        assert raised.value.seconds == 50
        judge(quotas, full, total, Charge(made=1), 180_000)
        judge(quotas, replace(full, made=2), total, Charge(made=1), 130_500)
        judge(quotas, full, total, Charge(unfinished=1), 130_500)

    async def test_they_are_counted(self, url: str) -> None:
        """Creations, of partials too, are counted until there are too many, however few remain."""
        async with keeping(url, Quotas(owner_per_minute=3)) as metadata:

            async def until_refused() -> int:
                for count in range(100):
                    try:
                        upload = await made(metadata, role=Role.PARTIAL, owner="bob")
                    except TooManyUploads:
                        return count
                    await metadata.terminate(upload.id, None)
                return 100

            assert 3 <= await until_refused() < 100


def test_steps_are_whole() -> None:
    """A step is charged with its first byte, and none twice."""
    assert [stepped(reached, 0) for reached in (0, 1, STEP_BYTES, STEP_BYTES + 1)] == [
        0,
        STEP_BYTES,
        STEP_BYTES,
        2 * STEP_BYTES,
    ]
    assert stepped(5, 10) == 10
