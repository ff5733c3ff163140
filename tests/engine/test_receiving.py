"""When what was received becomes durable, and what does not count."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from tests.engine.bodies import PlayedBody, TricklingBody, pieces_of
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.domain.errors import BodyBroken, StorageUnavailable
from tusfm.domain.upload import State
from tusfm.engine import receiving
from tusfm.engine.appending import Append
from tusfm.engine.checksums import Checksum
from tusfm.engine.creating import Creation
from tusfm.ports.storage import Pieces

MIB = 1024 * 1024


class EndlessBody(TricklingBody):
    """Hands out a piece now and then, until it is cut."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__([], size=9_000_000)
        self.sent = 0

    async def read(self) -> bytes:
        """Make one more, or break off."""
        self._pieces.append(b"x" * 100)
        piece = await super().read()
        self.sent += len(piece)
        return piece


@pytest.mark.parametrize("multipart", [False, True])
async def test_a_slow_sender_is_checkpointed_from_time_to_time(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    multipart: bool,  # noqa: FBT001
) -> None:
    """A sender that never stalls and never fills a part loses no more than what came since the last time."""
    monkeypatch.setattr(receiving, "SLOW_SECONDS", 0.4)
    with migrated(tmp_path) as environ:
        async with running(environ, MemoryStorage() if multipart else None) as engine:
            made = await engine.uploads.create(Creation(length=10_000_000))
            body = EndlessBody()
            sending = asyncio.create_task(engine.uploads.append(Append(id=made.id, offset=0, body=body)))
            async with asyncio.timeout(60):
                while not (await engine.uploads.find(made.id)).offset:
                    await asyncio.sleep(0.05)
            assert not sending.done()
            body.cut()
            with pytest.raises(BodyBroken):
                await sending
            assert (await engine.uploads.find(made.id)).offset == body.sent


@pytest.mark.parametrize("multipart", [False, True])
async def test_no_checkpoint_reaches_the_length(tmp_path: Path, multipart: bool) -> None:  # noqa: FBT001
    """Where offset = length the state is not `receiving`: the last commit waits for the end of the body."""
    with migrated(tmp_path) as environ:
        async with running(environ, MemoryStorage() if multipart else None) as engine:
            made = await engine.uploads.create(Creation(length=3 * MIB))
            body = PlayedBody(pieces_of(b"x" * 3 * MIB, 65_536), size=3 * MIB, end="silent")
            sending = asyncio.create_task(engine.uploads.append(Append(id=made.id, offset=0, body=body)))
            await asyncio.sleep(0.3)
            upload = await engine.uploads.status(made.id)
            assert (upload.offset < 3 * MIB, upload.state) == (True, State.RECEIVING)
            body.cut()
            await asyncio.wait([sending])


class LameStorage(MemoryStorage):
    """A storage whose first part fails, after the second one has arrived."""

    def __init__(self) -> None:
        """Begin lame."""
        super().__init__()
        self.lame = True
        self.second = asyncio.Event()

    async def put_part(self, key: str, multipart: str, number: int, pieces: Pieces) -> str:
        """Fail for the first part, when the second one is there."""
        if self.lame and number == 1:
            await asyncio.wait_for(self.second.wait(), 60)
            raise StorageUnavailable("the first part did not arrive")
        etag = await super().put_part(key, multipart, number, pieces)
        self.second.set()
        return etag


async def test_a_part_behind_a_missing_one_does_not_count(tmp_path: Path) -> None:
    """Of two parts on their way the first fails and the second arrives: the offset counts neither, and the file is right."""
    storage = LameStorage()
    data = bytes(range(256)) * 120_000
    with migrated(tmp_path) as environ:
        async with running(environ | {"TUSFM_MEMORY_BUDGET": str(256 * MIB)}, storage) as engine:
            made = await engine.uploads.create(Creation(length=len(data)))
            body = PlayedBody(pieces_of(data, 262_144), size=len(data))
            with pytest.raises(StorageUnavailable):
                await engine.uploads.append(Append(id=made.id, offset=0, body=body))
            assert (await engine.uploads.status(made.id)).offset == 0
            storage.lame = False
            body = PlayedBody(pieces_of(data, 262_144), size=len(data))
            await engine.uploads.append(Append(id=made.id, offset=0, body=body))
            stored = await engine.uploads.open(made.id)
            assert b"".join([piece async for piece in stored.read(0, stored.size)]) == data


class SlowToBegin(MemoryStorage):
    """A storage that takes its time over a new multipart upload."""

    async def begin(self, key: str, content_type: str | None = None) -> str:
        """Begin, once everything else has had its turn."""
        await asyncio.sleep(0.3)
        return await super().begin(key, content_type)


@pytest.mark.parametrize("checksum", [None, Checksum("sha256", hashlib.sha256(b"x" * 15 * MIB).digest())])
async def test_a_body_that_is_all_there_waits_for_no_room(tmp_path: Path, checksum: Checksum | None) -> None:
    """The last bytes of an upload may use the memory up: nothing more comes, so nobody waits, and they travel."""
    with migrated(tmp_path) as environ:  # with 15 MiB for buffers
        async with running(environ, SlowToBegin()) as engine, asyncio.timeout(60):
            made = await engine.uploads.create(Creation(length=15 * MIB))
            body = PlayedBody([b"x" * MIB] * 15, size=15 * MIB)
            done = await engine.uploads.append(Append(id=made.id, offset=0, body=body, checksum=checksum))
            assert done.offset == 15 * MIB
