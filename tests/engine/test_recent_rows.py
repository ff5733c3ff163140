"""The PATCH that follows at once rests on the row as this process wrote it, and notices when that is not the row any more."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.bodies import PlayedBody
from tests.engine.engines import migrated, running
from tests.memory_storage import MemoryStorage
from tusfm.domain.errors import BodyBroken, NotFound, OffsetConflict
from tusfm.engine import recent
from tusfm.engine.appending import Append
from tusfm.engine.checksums import Checksum
from tusfm.engine.creating import Creation
from tusfm.wiring import Engine

Two = tuple[Engine, Engine, str]


@pytest.fixture(params=["directory", "multipart"])
async def two(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Two]:
    """Make an upload of 15 bytes in one of two processes, which has just written the first 5 and remembers the row."""
    monkeypatch.setattr(recent, "RECENT_SECONDS", 60.0)
    storage = MemoryStorage() if request.param == "multipart" else None
    with migrated(tmp_path) as environ:
        async with running(environ, storage) as here, running(environ, storage) as there:
            made = await here.uploads.create(Creation(length=15))
            await send(here, made.id, 0, b"aaaaa")
            yield here, there, made.id


async def send(engine: Engine, upload_id: str, offset: int, said: bytes, end: str = "well") -> None:
    """Send bytes; *end* as in PlayedBody."""
    size = len(said) + (end != "well")
    await engine.uploads.append(
        Append(id=upload_id, offset=offset, body=PlayedBody([said] if said else [], size=size, end=end))
    )


async def stored(engine: Engine, upload_id: str) -> bytes:
    """Read a finished upload."""
    opened = await engine.uploads.open(upload_id)
    return b"".join([piece async for piece in opened.read(0, 15)])


async def test_another_process_has_written(two: Two) -> None:
    """Bytes for an offset that is no longer the upload's are refused, with the offset that it has, and count nowhere."""
    here, there, upload_id = two
    await send(there, upload_id, 5, b"bbbbb")
    with pytest.raises(OffsetConflict) as conflict:
        await send(here, upload_id, 5, b"ccccc")
    assert conflict.value.offset == 10
    await send(here, upload_id, 10, b"ddddd")
    assert await stored(here, upload_id) == b"aaaaabbbbbddddd"


async def test_another_process_has_claimed_in_vain(two: Two) -> None:
    """A request elsewhere that brought nothing raised the epoch; the next bytes here are claimed for, and count."""
    here, there, upload_id = two
    with pytest.raises(BodyBroken):
        await send(there, upload_id, 5, b"", end="broken")
    await send(here, upload_id, 5, b"ccccc")
    await send(here, upload_id, 10, b"ddddd")
    assert await stored(there, upload_id) == b"aaaaacccccddddd"


async def test_another_process_has_deleted(two: Two) -> None:
    """It does not come back to life."""
    here, there, upload_id = two
    await there.uploads.terminate(upload_id)
    with pytest.raises(NotFound):
        await send(here, upload_id, 5, b"ccccc")
    with pytest.raises(NotFound):
        await here.uploads.status(upload_id)


@pytest.mark.parametrize("who", [0, 1])
async def test_a_deletion_comes_before_what_is_wrong_with_a_body(two: Two, who: int) -> None:
    """There is no such upload, whichever process deleted it."""
    here, there, upload_id = two
    await (here, there)[who].uploads.terminate(upload_id)
    body = PlayedBody([b"ccccc"], size=5)
    with pytest.raises(NotFound):
        await here.uploads.append(Append(id=upload_id, offset=5, body=body, checksum=Checksum("sha1", bytes(20))))
