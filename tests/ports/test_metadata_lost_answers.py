"""The contract of ports.metadata: what was done already is done again without harm, for its answer may have been lost."""

from dataclasses import replace

import pytest

from tests.ports.uploads import claim, finalizing, made, message
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import Fenced
from tusfm.domain.upload import Extent, ExtentKind, Role, new_id
from tusfm.ports.metadata import Commit, NewUpload
from tusfm.ports.storage import Part


class TestLostAnswers:
    """Each is sent twice."""

    async def test_a_commit_that_moves_no_offset(self, metadata: SqlMetadata) -> None:
        """A part in the place of tails is committed once; another part in its place is fenced."""
        upload = await made(metadata)
        await metadata.claim(claim(upload))
        await metadata.commit(Commit(id=upload.id, epoch=1, offset=0, reached=9, add=[Extent(ExtentKind.TAIL, 0, 9, "t")]))
        part = Extent(ExtentKind.PART, 0, 9, "files/x/1", 1, "etag")
        commit = Commit(id=upload.id, epoch=1, offset=9, reached=9, add=[part], remove=[Extent(ExtentKind.TAIL, 0, 9, "t")])
        for _ in range(2):
            await metadata.commit(commit)
        assert await metadata.extents(upload.id) == [part]
        with pytest.raises(Fenced):
            await metadata.commit(replace(commit, add=[replace(part, number=2)]))

    async def test_a_copied_part(self, metadata: SqlMetadata) -> None:
        """A part of a composition is recorded once."""
        upload = await finalizing(metadata)
        taken = await metadata.take(upload.id)
        assert taken is not None
        await metadata.composing(upload.id, taken.lease, "files/x/l/1", "mpu")
        for _ in range(2):
            await metadata.composed(upload.id, taken.lease, Part(1, "etag"))
        assert await metadata.parts_composed(upload.id, taken.lease) == [Part(1, "etag")]

    async def test_a_final(self, metadata: SqlMetadata) -> None:
        """The same creation again is the same final."""
        partial = await made(metadata, role=Role.PARTIAL)
        new = NewUpload(id=new_id(), length=None, metadata="", role=Role.FINAL, concat="final;")
        finals = [await metadata.concatenate(new, [partial.id], None) for _ in range(2)]
        assert [one.id for one in finals] == [new.id, new.id]

    async def test_a_late_confirmation_takes_no_other_message(self, metadata: SqlMetadata) -> None:
        """The number of a message that was delivered is never given to another."""
        upload = await made(metadata, messages=[])
        await made(metadata, messages=[message(upload)])
        numbers = [one.number for one in await metadata.pending("one", 10)]
        await metadata.confirm(numbers)
        await made(metadata, messages=[message(upload)])
        await metadata.confirm(numbers)
        assert len(await metadata.pending("one", 10)) == 1
