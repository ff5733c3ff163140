"""Files in chunks, as tests send them and wait for them."""

import asyncio
from collections.abc import Sequence

from tests.engine.bodies import pieces_of
from tusfm.domain.files import Completion, File, FileStatus
from tusfm.wiring import Engine

STEP = 65_536
PATIENCE_SECONDS = 60
DONE = (FileStatus.SUCCESS, FileStatus.FAILURE)


async def send(engine: Engine, upload_id: str, index: int, data: bytes) -> None:
    """Send one chunk."""
    async with engine.chunks.receive() as incoming:
        for piece in pieces_of(data, STEP):
            await incoming.take(piece)
        await incoming.place(upload_id, index)


async def sent(engine: Engine, chunks: Sequence[bytes]) -> str:
    """Begin an upload and send its chunks, the last one first."""
    upload_id = await engine.chunks.begin()
    for index in reversed(range(len(chunks))):
        await send(engine, upload_id, index, chunks[index])
    return upload_id


async def completed(engine: Engine, upload_id: str, chunks: int, **more: object) -> File:
    """Complete it."""
    said = {"upload_id": upload_id, "chunks": chunks, "size": 0, "extension": "bin", "content_type": "image/png", **more}
    return await engine.chunks.complete(Completion(**said))  # type: ignore[arg-type]


async def becomes(engine: Engine, file: File, *statuses: FileStatus) -> File:
    """Wait until a file stands so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (found := await engine.chunks.file(file.id)).status not in statuses:
            await asyncio.sleep(0.02)
    return found


async def content(engine: Engine, file: File) -> bytes:
    """Read a finished file from where it lies."""
    assert file.key is not None
    size = await engine.storage.size(file.key)
    assert size is not None
    return b"".join([piece async for piece in engine.storage.read(file.key, 0, size)])


async def left(engine: Engine) -> list[str]:
    """List working objects, but for markers."""
    return [key async for key in engine.storage.keys("work/") if not key.startswith("work/marker/")]


async def freed(engine: Engine) -> None:
    """Wait until no working object is left: they go a moment after the file is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await left(engine):
            await asyncio.sleep(0.02)
