"""The contract of ports.metadata and ports.access about owners and keys."""

from typing import Any

import pytest

from tests.ports.uploads import claim, finalizing, made
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.access import Grant
from tusfm.domain.errors import NotFound
from tusfm.domain.upload import Role, State, new_id
from tusfm.ports.metadata import NewUpload


class TestOwners:
    """Whose an upload is, and within which limits of its owner's."""

    async def test_an_upload_keeps_its_owner_and_limits(self, metadata: SqlMetadata) -> None:
        """They are written at the creation, and read with the row."""
        upload = await made(metadata, owner="Zoë 李", size_limit=2**63 - 1, lifetime=600)
        found = await metadata.find(upload.id)
        assert found is not None
        assert (found.owner, found.size_limit, found.lifetime) == ("Zoë 李", 2**63 - 1, 600)
        assert (upload.owner, upload.size_limit, upload.lifetime) == (found.owner, found.size_limit, found.lifetime)

    @pytest.mark.parametrize(("wrong", "right"), [({"size": 6}, {"size": 5}), ({"length": 6}, {"length": 5})])
    async def test_a_claim_keeps_to_the_row_s_size(
        self, metadata: SqlMetadata, wrong: dict[str, Any], right: dict[str, Any]
    ) -> None:
        """An upload of undeclared length may not grow, nor be declared, over the size of its row."""
        upload = await made(metadata, length=None, size_limit=5)
        assert await metadata.claim(claim(upload, **wrong)) is None
        assert await metadata.claim(claim(upload, **right)) is not None

    async def test_a_row_s_lifetime_comes_first(self, metadata: SqlMetadata) -> None:
        """Claims and running requests put the expiry off by the row's own time, if it has one."""
        upload = await made(metadata, lifetime=1000, expires_in=1000)
        claimed = await metadata.claim(claim(upload, expires_in=50))
        assert claimed is not None
        await metadata.touch("one", 50)
        touched = await metadata.find(upload.id)
        for row in (claimed[0], touched):
            assert row is not None
            assert row.expires_at is not None
            assert row.expires_at - row.created_at > 500_000

    async def test_only_an_unfinished_one_is_terminated(self, metadata: SqlMetadata) -> None:
        """With *finished* False an upload that no longer receives stays as it is."""
        receiving, done = await made(metadata), await finalizing(metadata)
        assert await metadata.terminate(done.id, None, finished=False) is None
        assert await metadata.terminate(receiving.id, None, finished=False) is not None
        found = await metadata.find(done.id)
        assert found is not None
        assert found.state is State.FINALIZING

    async def test_another_owner_s_partial_is_not_there(self, metadata: SqlMetadata) -> None:
        """A final can only be made of partials of its owner; of nobody's where nobody is asked."""
        partial = await made(metadata, role=Role.PARTIAL, owner="bob")
        unowned = await made(metadata, role=Role.PARTIAL)
        for owner, one in (("eve", partial), ("bob", unowned)):
            with pytest.raises(NotFound):
                await metadata.concatenate(NewUpload(id=new_id(), length=None, metadata="", owner=owner), [one.id], None)
        new = NewUpload(id=new_id(), length=None, metadata="", role=Role.FINAL, owner="bob")
        assert (await metadata.concatenate(new, [partial.id], None)).owner == "bob"

    async def test_a_final_over_its_own_size_fails(self, metadata: SqlMetadata) -> None:
        """The sum is held against the final's own limit when it is known."""
        partial = await finalizing(metadata, role=Role.PARTIAL)
        taken = await metadata.take(partial.id)
        assert taken is not None
        await metadata.publish(partial.id, taken.lease, "files/x/1", [])
        new = NewUpload(id=new_id(), length=None, metadata="", role=Role.FINAL, size_limit=4)
        final = await metadata.concatenate(new, [partial.id], None)
        assert await metadata.ripen(final.id, None, []) is False
        found = await metadata.find(final.id)
        assert found is not None
        assert (found.state, found.error) == (State.FAILED, "Its partial uploads have 5 bytes, over the maximum of 4.")


class TestKeys:
    """The rows of API keys."""

    async def test_a_key_lives_until_it_is_revoked(self, metadata: SqlMetadata, other: SqlMetadata) -> None:
        """It is read as it was made, by every process; it is revoked once, and stays in the list."""
        grant = Grant(owner="Zoë 李", max_size=7, types=("image/*", "text/plain"), lifetime=90)
        await metadata.add_key("a" * 16, "d" * 64, grant, None)
        key = await other.key("a" * 16)
        assert key is not None
        assert (key.grant, key.digest, key.good) == (grant, "d" * 64, True)
        assert [await metadata.revoke_key("a" * 16) for _ in range(2)] == [True, False]
        assert [(one.id, one.good) for one in await other.keys()] == [("a" * 16, False)]
        assert await metadata.key("b" * 16) is None
        assert await metadata.revoke_key("b" * 16) is False

    async def test_a_key_ends_by_the_database_s_clock(self, metadata: SqlMetadata) -> None:
        """When its time is over it is good no more."""
        await metadata.add_key("a" * 16, "d" * 64, Grant(owner="bob"), 0)
        await metadata.add_key("b" * 16, "d" * 64, Grant(owner="bob"), 1000)
        assert {key.id: key.good for key in await metadata.keys()} == {"a" * 16: False, "b" * 16: True}
