"""Small PATCHes whose tails fill a part do not wait for it: it is made beside them, and counts with one that follows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.bodies import PlayedBody
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.domain.errors import StorageUnavailable
from tusfm.domain.upload import Extent, ExtentKind
from tusfm.engine import gathering, multiparts
from tusfm.engine.appending import Append
from tusfm.engine.creating import Creation
from tusfm.ports.storage import Pieces
from tusfm.wiring import Engine

STEP = 8 * 1024
PART = 8 * STEP
DATA = bytes(range(256)) * (4 * PART // 256)


class HeldStorage(MemoryStorage):
    """A storage that keeps parts waiting, or refuses them."""

    def __init__(self) -> None:
        """Let everything pass."""
        super().__init__(min_part=PART // 2)
        self.passes = asyncio.Event()
        self.passes.set()
        self.refuses = False

    async def put_part(self, key: str, multipart: str, number: int, pieces: Pieces) -> str:
        """Keep a part, when it may pass."""
        await self.passes.wait()
        if self.refuses:
            raise StorageUnavailable("no parts today")
        return await super().put_part(key, multipart, number, pieces)


@dataclass
class Case:
    """Two processes on one storage, and an upload."""

    storage: HeldStorage
    engine: Engine
    other: Engine
    upload_id: str

    async def patch(self, first: int, last: int, engine: Engine | None = None) -> None:
        """Send the steps of the file from one to another, a PATCH each."""
        for offset in range(first * STEP, last * STEP, STEP):
            body = PlayedBody([DATA[offset : offset + STEP]], size=STEP)
            await (engine or self.engine).uploads.append(Append(id=self.upload_id, offset=offset, body=body))

    async def extents(self) -> list[Extent]:
        """Read what the row names."""
        return await self.engine.metadata.extents(self.upload_id)

    async def count(self, kind: ExtentKind) -> int:
        """Count extents of one kind."""
        return sum(extent.kind is kind for extent in await self.extents())

    async def until(self, holds: Callable[[list[Extent]], bool]) -> None:
        """Wait for the row to name what it should."""
        async with asyncio.timeout(60):
            while not holds(await self.extents()):
                await asyncio.sleep(0.01)

    async def finished(self) -> bytes:
        """Finish the upload, and read it."""
        await self.engine.finalizer.finalize(self.upload_id)
        stored = await self.engine.uploads.open(self.upload_id)
        return b"".join([piece async for piece in stored.read(0, len(DATA))])


@asynccontextmanager
async def case(folder: Path) -> AsyncIterator[Case]:
    """Run the processes."""
    storage = HeldStorage()
    with migrated(folder) as environ:
        async with running(environ, storage) as engine, running(environ, storage) as other:
            made = await engine.uploads.create(Creation(length=len(DATA)))
            yield Case(storage, engine, other, made.id)


pytestmark = pytest.mark.usefixtures("small_bodies_stay_small")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiparts, "PART_BYTES", PART)
    monkeypatch.setattr(gathering, "QUIET_SECONDS", 3600.0)


async def test_a_part_travels_beside_the_patches_that_follow(tmp_path: Path) -> None:
    """They are answered while it is on its way, and the next that comes after it landed puts it in its tails' place."""
    async with case(tmp_path) as one:
        one.storage.passes.clear()
        await one.patch(0, 12)
        assert (await one.count(ExtentKind.TAIL), await one.count(ExtentKind.PART)) == (12, 0)
        one.storage.passes.set()
        await one.engine.uploads._layout.settle(one.upload_id)
        assert (await one.count(ExtentKind.TAIL), await one.count(ExtentKind.PART)) == (4, 1)
        await one.patch(12, 32)
        assert await one.finished() == DATA
    assert one.storage.written <= 2 * len(DATA)
    assert one.storage.read_back == len(DATA)  # by this test


async def test_a_part_that_nobody_follows_counts_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stops where a part is full leaves no tails behind."""
    monkeypatch.setattr(gathering, "QUIET_SECONDS", 0.0)
    async with case(tmp_path) as one:
        await one.patch(0, 8)
        await one.until(lambda extents: [extent.kind for extent in extents] == [ExtentKind.PART])
        await one.patch(8, 32)
        assert await one.finished() == DATA


async def test_whoever_claims_the_upload_waits_for_the_part(tmp_path: Path) -> None:
    """A large PATCH to the same process finds the part, and does not send its bytes again."""
    async with case(tmp_path) as one:
        one.storage.passes.clear()
        await one.patch(0, 9)
        rest = PlayedBody([DATA[9 * STEP :]], size=None)
        sending = asyncio.create_task(one.engine.uploads.append(Append(id=one.upload_id, offset=9 * STEP, body=rest)))
        one.storage.passes.set()
        await sending
        assert await one.finished() == DATA
    assert one.storage.written == len(DATA) + 9 * STEP


async def test_a_part_is_nobodys_when_another_process_has_gone_on(tmp_path: Path) -> None:
    """It comes too late for an epoch that is over; the file has each byte once."""
    async with case(tmp_path) as one:
        late = one.storage.passes = asyncio.Event()
        await one.patch(0, 9)
        one.storage.passes = asyncio.Event()
        one.storage.passes.set()
        await one.patch(9, 10, one.other)
        late.set()
        await one.engine.uploads._layout.settle(one.upload_id)
        assert await one.count(ExtentKind.PART) == 1
        await one.patch(10, 11, one.other)
        await one.patch(11, 32)
        assert await one.finished() == DATA


async def test_tails_are_gathered_later_when_their_part_failed(tmp_path: Path) -> None:
    """What was acknowledged stays, and the next PATCH reads the tails back, once."""
    async with case(tmp_path) as one:
        one.storage.refuses = True
        await one.patch(0, 8)
        await one.engine.uploads._layout.settle(one.upload_id)
        assert (await one.count(ExtentKind.TAIL), await one.count(ExtentKind.PART)) == (8, 0)
        one.storage.refuses = False
        await one.patch(8, 32)
        assert one.storage.read_back == PART
        assert await one.finished() == DATA
