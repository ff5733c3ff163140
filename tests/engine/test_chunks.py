"""Files in chunks of any order: what counts, what is replaced, what a failure leaves to be tried again."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.chunked import DONE, becomes, completed, content, freed, left, send, sent
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.domain.errors import AlreadyFinished, BadLink, NotFound, StillFinishing
from tusfm.domain.files import FileStatus
from tusfm.engine import composition, part_layout
from tusfm.wiring import Engine

MIB = 1024 * 1024
SIZES = st.sampled_from([0, 1, 1000, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 6 * MIB])


def noise(index: int, size: int) -> bytes:
    """Give each chunk bytes of its own."""
    return (bytes((place * 131 + index * 17) & 0xFF for place in range(997)) * (size // 997 + 1))[:size]


@pytest.fixture(params=["memory", "directory"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    """Run an engine on each shape of storage."""
    storage = MemoryStorage() if request.param == "memory" else None
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as one:
            yield one


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(SIZES, max_size=4), data=st.data(), multipart=st.booleans())
def test_any_order_and_size(sizes: list[int], data: st.DataObject, multipart: bool) -> None:  # noqa: FBT001
    """Chunks sent in any order, several at once, some twice, are the file in the order of their indexes."""
    chunks = [noise(index, size) for index, size in enumerate(sizes)]
    order = data.draw(st.permutations(range(len(chunks))))
    twice = data.draw(st.lists(st.sampled_from(order), max_size=2)) if order else []

    async def run(folder: Path) -> None:
        with migrated(folder) as environ:
            async with running(environ, MemoryStorage() if multipart else None) as engine:
                upload_id = await engine.chunks.begin()
                for index in twice:
                    await send(engine, upload_id, index, b"to be replaced")
                await asyncio.gather(*(send(engine, upload_id, index, chunks[index]) for index in order))
                file = await completed(engine, upload_id, len(chunks))
                assert file.status is FileStatus.PENDING
                done = await becomes(engine, file, *DONE)
                assert (done.status, await content(engine, done)) == (FileStatus.SUCCESS, b"".join(chunks))
                await freed(engine)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def test_of_two_of_an_index_the_one_begun_last_counts(engine: Engine) -> None:
    """Whole, also when the other one is placed after it."""
    upload_id = await engine.chunks.begin()
    async with engine.chunks.receive() as early, engine.chunks.receive() as late:
        await early.take(b"early")
        await late.take(b"late")
        await late.place(upload_id, 0)
        await early.place(upload_id, 0)
    done = await becomes(engine, await completed(engine, upload_id, 1), *DONE)
    assert await content(engine, done) == b"late"
    await freed(engine)


async def test_what_is_not_placed_leaves_nothing(engine: Engine) -> None:
    """A chunk that breaks off, is refused, or is nobody's, is gone with its request; what was there before stays."""
    upload_id = await sent(engine, [b"there"])
    for index, whose in ((0, None), (0, "5e7e0a34-2f7c-4b43-9d0a-0d9d8f4c2a11"), (1, upload_id.upper())):
        try:
            async with engine.chunks.receive() as incoming:
                for _ in range(17):
                    await incoming.take(b"x" * MIB)
                if whose is not None:
                    await incoming.place(whose, index)
        except NotFound:
            assert whose is not None
    await engine.sweep.sweep()
    assert len(await left(engine)) == 1
    done = await becomes(engine, await completed(engine, upload_id, 1), *DONE)
    assert await content(engine, done) == b"there"


async def test_a_missing_chunk_is_a_failure_that_can_be_mended(engine: Engine) -> None:
    """The reason stands in the row; once the chunk has come, a retry makes the file, under the id it had."""
    upload_id = await sent(engine, [b"a", b"b"])
    file = await completed(engine, upload_id, 4)
    failed = await becomes(engine, file, *DONE)
    assert failed.status is FileStatus.FAILURE
    assert failed.error == "2 of 4 chunks are missing, the first is 2."
    await send(engine, upload_id, 3, b"d")
    await send(engine, upload_id, 2, b"c")
    again = await engine.chunks.retry(file.id.upper())
    assert (again.id, again.status) == (file.id, FileStatus.PENDING)
    done = await becomes(engine, file, *DONE)
    assert await content(engine, done) == b"abcd"
    with pytest.raises(AlreadyFinished):
        await engine.chunks.retry(file.id)
    with pytest.raises(NotFound):
        await send(engine, upload_id, 0, b"too late")
    with pytest.raises(NotFound):
        await engine.chunks.retry(upload_id)


async def test_complete_again_after_a_failure(engine: Engine) -> None:
    """It takes the new values, keeps the id, and leaves nothing under the first name."""
    upload_id = await sent(engine, [b"a"])
    first = await completed(engine, upload_id, 2)
    await becomes(engine, first, FileStatus.FAILURE)
    second = await completed(engine, upload_id, 1, extension="txt", credential={"user": "1"})
    assert (second.id, second.status) == (first.id, FileStatus.PENDING)
    assert second.path == f"tusfm-private/{upload_id}.txt"
    done = await becomes(engine, second, *DONE)
    assert await content(engine, done) == b"a"


async def test_an_empty_file_and_chunks_beyond_the_last(engine: Engine) -> None:
    """A file of no chunks is empty; chunks that it does not count are freed with the others."""
    upload_id = await sent(engine, [b"ignored", b"ignored too"])
    done = await becomes(engine, await completed(engine, upload_id, 0), *DONE)
    assert (done.status, await content(engine, done)) == (FileStatus.SUCCESS, b"")
    await freed(engine)


async def test_sizes_are_compared_only_where_that_is_wanted(tmp_path: Path) -> None:
    """With the setting a sum that differs from the announced one is a failure, and is one until it is right."""
    with migrated(tmp_path) as environ:
        async with running({**environ, "TUSFM_LEGACY_STRICT_SIZE": "1"}) as engine:
            upload_id = await sent(engine, [b"abc"])
            failed = await becomes(engine, await completed(engine, upload_id, 1, size=10**30), *DONE)
            assert failed.error == f"The chunks have 3 bytes, and the client announced {10**30}."
            done = await becomes(engine, await completed(engine, upload_id, 1, size=3), *DONE)
            assert done.status is FileStatus.SUCCESS


async def test_a_long_chunk_travels_in_objects_that_can_be_copied(tmp_path: Path) -> None:
    """Over 16 MiB it goes to storage as it comes; each object has 5 MiB or more, so composing reads nothing back."""
    storage = MemoryStorage()
    with migrated(tmp_path) as environ:
        async with running({**environ, "TUSFM_MEMORY_BUDGET": str(256 * MIB)}, storage) as engine:
            data = noise(1, 41 * MIB)
            upload_id = await sent(engine, [data, noise(2, 5 * MIB)])
            assert sorted(map(len, storage.objects.values())) == sorted([8 * MIB] * 4 + [9 * MIB, 5 * MIB])
            storage.calls.clear()
            done = await becomes(engine, await completed(engine, upload_id, 2), *DONE)
            assert "read" not in storage.calls
            assert await content(engine, done) == data + noise(2, 5 * MIB)


async def test_many_at_once_stay_within_the_budget(tmp_path: Path) -> None:
    """Sixteen chunks of 3 MiB in a process that may hold 15 MiB: what does not fit travels early, and all are whole."""
    storage = MemoryStorage()
    chunks = [noise(index, 3 * MIB) for index in range(16)]
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            budget = engine.chunks._budget
            seen = 0

            async def watch() -> None:
                nonlocal seen
                while True:
                    seen = max(seen, budget.used)
                    await asyncio.sleep(0.01)

            watching = asyncio.create_task(watch())
            upload_id = await engine.chunks.begin()
            await asyncio.gather(*(send(engine, upload_id, index, data) for index, data in enumerate(chunks)))
            watching.cancel()
            assert budget.used == 0
            assert seen <= budget.limit + 17 * 65_536  # each holds the piece that came when there was no room
            done = await becomes(engine, await completed(engine, upload_id, 16), *DONE)
            assert await content(engine, done) == b"".join(chunks)
            await freed(engine)


async def test_more_chunks_than_a_multipart_upload_has_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are composed in several first, of which nothing is left."""
    monkeypatch.setattr(composition, "MOST_PARTS", 4)
    monkeypatch.setattr(part_layout, "bundles", lambda sources: composition.bundles(sources, 4))
    storage = MemoryStorage()
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as engine:
            chunks = [noise(index, size) for index, size in enumerate((5 * MIB, 7, 6 * MIB, 5 * MIB, 1, 2, 5 * MIB))]
            upload_id = await sent(engine, chunks)
            done = await becomes(engine, await completed(engine, upload_id, len(chunks)), *DONE)
            assert storage.calls.count("complete") == 5
            assert await content(engine, done) == b"".join(chunks)
            await freed(engine)


async def test_links_of_this_server(engine: Engine) -> None:
    """A public file's opens as it is; a private one's is signed, with its credential, and opens in no other shape."""
    for credential in (None, {}, {"user id": "7", "имя": "é&=", "expires": "never", "Signature": "x"}):
        upload_id = await sent(engine, [b"linked"])
        file = await becomes(engine, await completed(engine, upload_id, 1, credential=credential), *DONE)
        link = urlsplit(await engine.chunks.link(file, "https://files.example/prefix"))
        query = dict(parse_qsl(link.query, keep_blank_values=True))
        assert f"{link.scheme}://{link.netloc}{link.path}" == f"https://files.example/prefix/download/{file.path}"
        stored = await engine.chunks.open(file.path, query)
        assert (stored.size, stored.filetype, stored.filename) == (6, "image/png", file.name)
        if not credential:
            assert (query, file.public) == ({}, True)
            continue
        assert {**credential, "credential-expires": "never"}.items() <= {**query, "expires": "never"}.items()
        later = str(int(query["expires"]) + 1)
        for wrong in ({}, {**query, "expires": later}, {**query, "signature": "é"}, {**query, "user id": "8"}):
            with pytest.raises(BadLink):
                await engine.chunks.open(file.path, wrong)
        for path in (file.path.replace("private", "public"), file.path[:-1], "x", f"tusfm-private/../{file.name}"):
            with pytest.raises(NotFound):
                await engine.chunks.open(path, query)


async def test_everybody_hears_of_a_file(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Its upload is created, failed and finalized as others are; the size is that of its bytes."""
    caplog.set_level("INFO", "tusfm.events")
    upload_id = await sent(engine, [b"abc"])
    file = await becomes(engine, await completed(engine, upload_id, 2), FileStatus.FAILURE)
    await send(engine, upload_id, 1, b"de")
    await becomes(engine, await engine.chunks.retry(file.id), FileStatus.SUCCESS)

    def heard() -> list[tuple[str, int | None]]:
        said = [json.loads(record.getMessage()) for record in caplog.records if record.name == "tusfm.events"]
        return [(one["type"], one["size"]) for one in said if one["upload_id"] == upload_id]

    async with asyncio.timeout(60):
        while len(heard()) < 3:
            await asyncio.sleep(0.05)
    assert heard() == [("created", None), ("failed", None), ("finalized", 5)]


async def test_a_link_ends(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its seven days a private link opens nothing."""
    upload_id = await sent(engine, [b"linked"])
    file = await becomes(engine, await completed(engine, upload_id, 1, credential={"a": "b"}), *DONE)
    monkeypatch.setattr("tusfm.engine.links.LINK_SECONDS", -1)
    link = urlsplit(await engine.chunks.link(file, ""))
    with pytest.raises(BadLink):
        await engine.chunks.open(file.path, dict(parse_qsl(link.query)))


async def test_a_file_that_is_being_finished_is_not_tried_again(tmp_path: Path) -> None:
    """Neither while it waits, nor while somebody is at it."""
    with migrated(tmp_path) as environ:
        async with running(environ) as engine:
            for task in engine._tasks:
                task.cancel()
            upload_id = await sent(engine, [b"a"])
            file = await completed(engine, upload_id, 1)
            with pytest.raises(StillFinishing):
                await engine.chunks.retry(file.id)
            await engine.metadata.take(upload_id)
            with pytest.raises(StillFinishing):
                await engine.chunks.retry(file.id)
            assert (await engine.chunks.file(file.id)).status is FileStatus.STARTED
