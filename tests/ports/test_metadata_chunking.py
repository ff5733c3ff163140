"""The contract of ports.chunking: each transaction, and what each guard keeps out."""

import asyncio
import secrets
import uuid
from typing import Any

import pytest

from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import Fenced, NotFound
from tusfm.domain.files import Chunk, Completion, File, FileStatus, fixed_key
from tusfm.domain.upload import Role, State, Upload
from tusfm.ports.chunking import NewFile
from tusfm.ports.metadata import Message, NewUpload

DAY_MS = 86_400_000
STRANGE = ["", "a" * 36, "5e7e0a34-2f7c-4b43-9d0a-0d9d8f4c2a11", "../../etc/passwd", "\0" * 36, "é" * 36, "x" * 300]


async def begun(metadata: SqlMetadata, expires_in: float | None = 100) -> str:
    """Begin an upload that takes chunks."""
    upload_id = str(uuid.uuid4())
    await metadata.create(NewUpload(id=upload_id, length=None, metadata="", role=Role.CHUNKED, expires_in=expires_in))
    return upload_id


async def intended(metadata: SqlMetadata, index: int = 0, *sizes: int) -> Chunk:
    """Begin a chunk."""
    chunk = Chunk(index, secrets.token_hex(16), sizes or (10,))
    await metadata.intend(chunk.name)
    return chunk


async def placed(metadata: SqlMetadata, upload_id: str, index: int = 0, *sizes: int) -> Chunk:
    """Place a chunk."""
    chunk = await intended(metadata, index, *sizes)
    await metadata.place(upload_id, chunk, 100)
    return chunk


async def completed(metadata: SqlMetadata, upload_id: str, **more: Any) -> File:
    """Complete an upload."""
    said = {"upload_id": upload_id, "chunks": 1, "size": 10, "extension": "txt", "content_type": "text/plain", **more}
    completion = Completion(**said)
    key = fixed_key(completion)
    message = Message(id=str(uuid.uuid4()), kind="finalize", upload_id=upload_id)
    new = NewFile(
        id=str(uuid.uuid4()), completion=completion, path=f"a-{key}", key=key, metadata="filename YQ==", messages=[message]
    )
    return await metadata.complete(new)


async def taken(metadata: SqlMetadata, upload_id: str) -> Upload:
    """Take the lease."""
    upload = await metadata.take(upload_id)
    assert upload is not None
    return upload


async def status(metadata: SqlMetadata, file: File) -> FileStatus | None:
    """Look a file's status up."""
    found = await metadata.file(file.id)
    return None if found is None else found.status


async def execute(metadata: SqlMetadata, statement: str, **values: object) -> None:
    """Change the database by hand."""
    await metadata.db.write(lambda connection: metadata.run(connection, statement, **values).rowcount)


class TestPlacing:
    """How a chunk comes to count."""

    async def test_chunks_are_told_in_order_of_their_index(self, metadata: SqlMetadata) -> None:
        """Whatever the order in which they came, with the sizes of their objects; an empty one has none."""
        upload_id = await begun(metadata)
        late, empty, first = (
            await placed(metadata, upload_id, 2, 7, 8),
            Chunk(1, "e" * 32, ()),
            await placed(metadata, upload_id),
        )
        await metadata.intend(empty.name)
        await metadata.place(upload_id, empty, 100)
        assert await metadata.chunks(upload_id) == [first, empty, late]

    async def test_what_was_never_begun_takes_no_chunk(self, metadata: SqlMetadata) -> None:
        """NotFound, whatever the text is, and the intent is still there to be taken away."""
        chunk = await intended(metadata)
        for strange in STRANGE:
            with pytest.raises(NotFound):
                await metadata.place(strange, chunk, 100)
        assert await metadata.forsake(chunk.name) is True
        assert await metadata.forsake(chunk.name) is False

    async def test_another_case_is_another_upload(self, metadata: SqlMetadata) -> None:
        """An id that differs in case only was never given out."""
        upload_id = await begun(metadata)
        with pytest.raises(NotFound):
            await metadata.place(upload_id.upper(), await intended(metadata), 100)

    async def test_a_tus_upload_takes_no_chunk(self, metadata: SqlMetadata) -> None:
        """Chunks belong to uploads that were begun for them."""
        upload_id = str(uuid.uuid4())
        await metadata.create(NewUpload(id=upload_id, length=10, metadata=""))
        with pytest.raises(NotFound):
            await metadata.place(upload_id, await intended(metadata), 100)

    async def test_the_one_begun_last_wins(self, metadata: SqlMetadata) -> None:
        """In either order of placing: what is replaced, or comes too late, is handed back to be deleted."""
        upload_id = await begun(metadata)
        early, late = await intended(metadata), await intended(metadata)
        assert await metadata.place(upload_id, late, 100) is None
        assert await metadata.place(upload_id, early, 100) == early
        later = await intended(metadata)
        assert await metadata.place(upload_id, later, 100) == late
        assert await metadata.chunks(upload_id) == [later]

    async def test_numbers_are_never_given_out_again(self, metadata: SqlMetadata) -> None:
        """The first intent after all others are gone is still begun later than the chunk that is there."""
        upload_id = await begun(metadata)
        given_up, first = await intended(metadata), await placed(metadata, upload_id)
        assert await metadata.forsake(given_up.name)
        again = await intended(metadata)
        assert await metadata.place(upload_id, again, 100) == first

    async def test_of_many_at_once_one_is_there(self, metadata: SqlMetadata, other: SqlMetadata) -> None:
        """Two processes that place the same index over and over leave the one begun last, and hand back all others."""
        upload_id = await begun(metadata)
        chunks = [await intended(metadata) for _ in range(12)]
        placing = [(metadata, other)[n % 2].place(upload_id, chunk, 100) for n, chunk in enumerate(chunks)]
        back = [one.name for one in await asyncio.gather(*placing) if one is not None]
        assert await metadata.chunks(upload_id) == [chunks[-1]]
        assert sorted(back) == sorted(chunk.name for chunk in chunks[:-1])

    async def test_an_intent_is_taken_once(self, metadata: SqlMetadata) -> None:
        """What the sweep has taken cannot be placed, and what was placed the sweep cannot take; a young one it leaves."""
        upload_id = await begun(metadata)
        chunk, swept, young = [await intended(metadata) for _ in range(3)]
        age = f"UPDATE intents SET begun_at = begun_at - {DAY_MS + 1000} WHERE name <> :name"
        await execute(metadata, age, name=young.name)
        assert sorted(await metadata.abandoned(10)) == sorted([chunk.name, swept.name])
        assert await metadata.abandon(young.name) is False
        assert await metadata.abandon(swept.name) is True
        with pytest.raises(Fenced):
            await metadata.place(upload_id, swept, 100)
        await metadata.place(upload_id, chunk, 100)
        assert await metadata.abandon(chunk.name) is False
        assert await metadata.chunks(upload_id) == [chunk]

    async def test_names_are_known_while_somebody_needs_them(self, metadata: SqlMetadata) -> None:
        """By their intent first, then by their chunk."""
        upload_id = await begun(metadata)
        chunk = await intended(metadata)
        assert await metadata.known(chunk.name) is True
        await metadata.place(upload_id, chunk, 100)
        assert await metadata.known(chunk.name) is True
        await placed(metadata, upload_id)
        assert await metadata.known(chunk.name) is False

    async def test_a_chunk_puts_expiry_off(self, metadata: SqlMetadata) -> None:
        """The time begins anew with each chunk; when it has passed none is taken."""
        upload_id = await begun(metadata, 100)
        chunk = await intended(metadata)
        await metadata.place(upload_id, chunk, 0.01)
        await asyncio.sleep(0.05)
        with pytest.raises(NotFound):
            await metadata.place(upload_id, await intended(metadata), 100)
        assert await metadata.overdue(10) == [upload_id]


class TestCompleting:
    """From chunks to a file."""

    async def test_the_same_upload_is_the_same_file(self, metadata: SqlMetadata) -> None:
        """While it is being finished, and after, the first call's values stand; work is ordered once."""
        upload_id = await begun(metadata)
        first = await completed(metadata, upload_id, credential={"a": "1"}, detail={"é": "日本 \ud800"})
        assert (first.status, first.credential, first.detail) == (FileStatus.PENDING, {"a": "1"}, {"é": "日本 \ud800"})
        assert await completed(metadata, upload_id, extension="png", credential=None) == first
        assert len(await metadata.pending("one", 10)) == 1
        upload = await taken(metadata, upload_id)
        await metadata.publish_file(upload, 10, [])
        again = await completed(metadata, upload_id, extension="png")
        assert (again.id, again.path, again.status) == (first.id, first.path, FileStatus.SUCCESS)

    async def test_what_was_never_begun_is_not_completed(self, metadata: SqlMetadata) -> None:
        """NotFound."""
        for strange in STRANGE:
            with pytest.raises(NotFound):
                await completed(metadata, strange)

    async def test_at_once_from_two_processes(self, metadata: SqlMetadata, other: SqlMetadata) -> None:
        """All get the same file."""
        upload_id = await begun(metadata)
        files = await asyncio.gather(*(completed((metadata, other)[n % 2], upload_id) for n in range(8)))
        assert len({file.id for file in files}) == 1

    async def test_a_status_is_what_was_done(self, metadata: SqlMetadata) -> None:
        """PENDING until somebody takes it, STARTED from then on, also in a pause; FAILURE, PENDING again, SUCCESS."""
        upload_id = await begun(metadata)
        file = await completed(metadata, upload_id)
        seen = [await status(metadata, file)]
        upload = await taken(metadata, upload_id)
        seen.append(await status(metadata, file))
        await metadata.postpone(upload_id, upload.lease, "away", 0)
        seen.append(await status(metadata, file))
        await metadata.fail_file(await taken(metadata, upload_id), "a chunk is missing", 100, [])
        seen.append(await status(metadata, file))
        await metadata.restart(upload_id, [])
        seen.append(await status(metadata, file))
        await metadata.publish_file(await taken(metadata, upload_id), 10, [])
        seen.append(await status(metadata, file))
        assert seen == ["PENDING", "STARTED", "STARTED", "FAILURE", "PENDING", "SUCCESS"]

    async def test_a_file_is_found_whatever_the_case(self, metadata: SqlMetadata) -> None:
        """But for its case the id is compared whole."""
        file = await completed(metadata, await begun(metadata))
        assert await metadata.file(file.id.upper()) == file
        for near in (file.id + " ", file.id[:-1], "\u00e0" + file.id[1:], file.upload_id, ""):
            assert await metadata.file(near) is None

    async def test_published_chunks_are_forgotten(self, metadata: SqlMetadata) -> None:
        """The row has the size, and is an upload like others; a further chunk is refused."""
        upload_id = await begun(metadata)
        await placed(metadata, upload_id, 0, 4, 6)
        await completed(metadata, upload_id)
        await metadata.publish_file(await taken(metadata, upload_id), 10, [])
        upload = await metadata.find(upload_id)
        assert upload is not None
        assert (upload.state, upload.offset, upload.length) == (State.AVAILABLE, 10, 10)
        assert await metadata.chunks(upload_id) == []
        with pytest.raises(NotFound):
            await metadata.place(upload_id, await intended(metadata), 100)
        assert await metadata.overdue(10) == []


class TestGuards:
    """What comes too late."""

    async def test_a_chunk_that_comes_meanwhile_fences_the_attempt(self, metadata: SqlMetadata) -> None:
        """Neither is the file published without it, nor failed for want of it; the lease is still held."""
        upload_id = await begun(metadata)
        await completed(metadata, upload_id)
        upload = await taken(metadata, upload_id)
        await placed(metadata, upload_id)
        for call in (metadata.publish_file(upload, 0, []), metadata.fail_file(upload, "a chunk is missing", 100, [])):
            with pytest.raises(Fenced):
                await call
        await metadata.postpone(upload_id, upload.lease, "anew", 0)
        again = await taken(metadata, upload_id)
        assert again.revision == upload.revision + 1
        await metadata.publish_file(again, 10, [])

    async def test_a_round_that_is_over_changes_nothing(self, metadata: SqlMetadata) -> None:
        """A transaction of the attempt that failed, sent again after the client's retry, finds another lease."""
        upload_id = await begun(metadata)
        file = await completed(metadata, upload_id)
        upload = await taken(metadata, upload_id)
        await metadata.fail_file(upload, "why", 100, [])
        await metadata.restart(upload_id, [])
        for call in (metadata.fail_file(upload, "why", 100, []), metadata.publish_file(upload, 1, [])):
            with pytest.raises(Fenced):
                await call
        assert await status(metadata, file) is FileStatus.PENDING

    async def test_only_a_failure_is_tried_again(self, metadata: SqlMetadata) -> None:
        """A file that is being finished, or is there, is not begun anew."""
        upload_id = await begun(metadata)
        await completed(metadata, upload_id)
        with pytest.raises(Fenced):
            await metadata.restart(upload_id, [])
        await metadata.publish_file(await taken(metadata, upload_id), 10, [])
        with pytest.raises(Fenced):
            await metadata.restart(upload_id, [])

    async def test_a_failure_completed_under_another_name_keeps_the_former_key(self, metadata: SqlMetadata) -> None:
        """Its object may be there: the row names it until it is gone. The file keeps its id and takes the new values."""
        upload_id = await begun(metadata)
        first = await completed(metadata, upload_id)
        upload = await taken(metadata, upload_id)
        assert first.key is not None
        await metadata.composing(upload_id, upload.lease, first.key, "multipart")
        await metadata.fail_file(upload, "why", 100, [])
        second = await completed(metadata, upload_id, extension="png", credential={"a": "b"})
        assert (second.id, second.key, second.status) == (first.id, f"private/{upload_id}.png", FileStatus.PENDING)
        assert await metadata.former_keys(upload_id) == [first.key]
        named = await metadata.find(upload_id)
        assert named is not None
        assert (named.object_key, named.multipart) == (first.key, "multipart")  # to be ended by whoever composes next
        assert await metadata.outlived(10) == []
        await metadata.publish_file(await taken(metadata, upload_id), 10, [])
        assert await metadata.outlived(10) == [upload_id]
        await metadata.forget_keys(upload_id)
        assert await metadata.outlived(10) == []

    async def test_the_first_name_again_is_not_a_former_one(self, metadata: SqlMetadata) -> None:
        """Whoever comes back to a key writes there: it must not be deleted."""
        upload_id = await begun(metadata)
        for extension in ("txt", "png", "txt"):
            file = await completed(metadata, upload_id, extension=extension)
            upload = await taken(metadata, upload_id)
            assert file.key is not None
            await metadata.composing(upload_id, upload.lease, file.key, "multipart")
            await metadata.fail_file(upload, "why", 100, [])
        assert await metadata.former_keys(upload_id) == [f"public/{upload_id}.png"]

    async def test_a_failure_expires_and_takes_its_file_along(self, metadata: SqlMetadata) -> None:
        """Its time begins with the failure; after it neither retry, complete nor chunk brings it back."""
        upload_id = await begun(metadata, None)
        file = await completed(metadata, upload_id)
        await metadata.fail_file(await taken(metadata, upload_id), "why", 0.01, [])
        await asyncio.sleep(0.05)
        with pytest.raises(Fenced):
            await metadata.restart(upload_id, [])
        assert (await completed(metadata, upload_id)).status is FileStatus.FAILURE
        assert await metadata.expire(upload_id, None) is not None
        assert await metadata.file(file.id) is None
        with pytest.raises(NotFound):
            await completed(metadata, upload_id)

    async def test_an_abandoned_upload_leaves_no_rows(self, metadata: SqlMetadata) -> None:
        """Its chunks are named until it is buried, and go with it."""
        upload_id = await begun(metadata)
        chunk = await placed(metadata, upload_id)
        await metadata.terminate(upload_id, None)
        assert await metadata.chunks(upload_id) == [chunk]
        await execute(metadata, f"UPDATE uploads SET ended_at = ended_at - {DAY_MS + 1000}")
        assert await metadata.bury(upload_id) is True
        assert (await metadata.chunks(upload_id), await metadata.known(chunk.name)) == ([], False)
