"""Several processes on one database and one storage: what happens on one is heard on the other."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.bodies import PlayedBody, pieces_of
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.adapters.metadata_sql import SqlMetadata
from tusfm.domain.errors import Fenced, NotFound
from tusfm.engine import presence
from tusfm.engine.appending import Append, Progress
from tusfm.engine.creating import Creation
from tusfm.ports.metadata import Claim
from tusfm.wiring import Engine

SIZE = 3_000_000


@dataclass
class Pair:
    """Two engines, and a sender on the first that has gone silent."""

    here: Engine
    there: Engine
    id: str
    body: PlayedBody
    sending: asyncio.Task[Progress]


@pytest.fixture(params=["directory", "multipart", "directory and MySQL", "multipart and MySQL"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    """Begin a PATCH on one engine that sends all but ten bytes, and then nothing."""
    monkeypatch.setattr(presence, "ANSWER_SECONDS", 20.0)  # a busy machine is no reason to answer without the writer
    storage = MemoryStorage() if "multipart" in request.param else None
    mysql = request.getfixturevalue("mysql_url") if "MySQL" in request.param else None
    with migrated(tmp_path, mysql) as environ:
        async with running(environ, storage) as here, running(environ, storage) as there:
            made = await here.uploads.create(Creation(length=SIZE))
            body = PlayedBody(pieces_of(b"a" * (SIZE - 10), 65_536), size=SIZE, end="silent")
            sending = asyncio.create_task(here.uploads.append(Append(id=made.id, offset=0, body=body)))
            async with asyncio.timeout(60):
                while body.left or not (await here.uploads.find(made.id)).writer_alive:
                    await asyncio.sleep(0.02)
            yield Pair(here, there, made.id, body, sending)
            body.cut()
            await asyncio.wait([sending])


async def test_a_status_request_elsewhere_counts_what_has_arrived(pair: Pair) -> None:
    """HEAD on another process has the writer commit what arrived, and does not end it."""
    assert (await pair.there.uploads.status(pair.id)).offset == SIZE - 10
    assert not pair.sending.done()


async def test_a_takeover_elsewhere_ends_the_writer(pair: Pair) -> None:
    """A PATCH on another process takes the upload; the writer here finds its connection cut."""
    offset = (await pair.there.uploads.status(pair.id)).offset
    body = PlayedBody([b"b" * 10], size=10)
    progress = await pair.there.uploads.append(Append(id=pair.id, offset=offset, body=body))
    assert progress.offset == SIZE
    async with asyncio.timeout(60):
        with pytest.raises(Fenced):
            await pair.sending
    stored = await pair.here.uploads.open(pair.id)
    assert b"".join([piece async for piece in stored.read(0, SIZE)]) == b"a" * (SIZE - 10) + b"b" * 10


async def test_a_claim_whose_answer_was_lost_is_released(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that bears the name of a process where nobody writes it may expire again, and status requests do not wait."""
    made = await pair.here.uploads.create(Creation(length=SIZE))
    claim = Claim(id=made.id, offset=0, writer=pair.here.presence.process)
    assert await pair.here.metadata.claim(claim) is not None
    assert (await pair.there.uploads.find(made.id)).writer_alive
    monkeypatch.setattr(presence, "UNHELD_SECONDS", 0.2)
    async with asyncio.timeout(60):
        while (await pair.there.uploads.find(made.id)).writer is not None:
            await asyncio.sleep(0.05)
    assert (await pair.there.uploads.find(pair.id)).writer is not None


async def test_a_deletion_elsewhere_ends_the_writer(pair: Pair) -> None:
    """DELETE on another process stops the writer here, which hears of it by itself, and nothing comes back to life."""
    await pair.there.uploads.terminate(pair.id)
    async with asyncio.timeout(60):
        with pytest.raises(Fenced):
            await pair.sending
    with pytest.raises(NotFound):
        await pair.here.uploads.status(pair.id)
    assert await left_by_a_sweep(pair.here) == []


async def test_a_writer_does_not_bring_back_what_has_expired(pair: Pair) -> None:
    """One that stood still until HEAD was told 404 finds itself fenced when it goes on, and the sweep takes what it wrote."""
    metadata = pair.there.metadata
    assert isinstance(metadata, SqlMetadata)
    await metadata.db.write(lambda connection: metadata.run(connection, "UPDATE uploads SET expires_at = 1").rowcount)
    with pytest.raises(NotFound):
        await pair.there.uploads.status(pair.id)
    pair.body.cut()
    async with asyncio.timeout(30):
        with pytest.raises(Fenced):
            await pair.sending
    with pytest.raises(NotFound):
        await pair.there.uploads.status(pair.id)
    assert await left_by_a_sweep(pair.here) == []


async def left_by_a_sweep(engine: Engine) -> list[str]:
    """Sweep, and return the keys that are there all the same."""
    await engine.sweep.sweep()
    left = [key for top in ("work/", "files/") for key in [key async for key in engine.storage.keys(top)]]
    return [key for key in left if "marker" not in key]
