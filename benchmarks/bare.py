"""The limit to compare with: a bare aiohttp handler that writes a body to a file, with the same fsyncs as the engine.

python -m benchmarks.bare FOLDER PORT
"""

import asyncio
import os
import sys
import uuid

from aiohttp import web

SYNC_BYTES = 16 * 1024 * 1024
BATCH_BYTES = 1024 * 1024


class Bare:
    """POST makes a name, PATCH appends to its file."""

    def __init__(self, folder: str) -> None:
        """Take the folder."""
        self._folder = folder

    async def create(self, request: web.Request) -> web.Response:
        """Make a name, and store the bytes that came along."""
        name = uuid.uuid4().hex
        if request.can_read_body:
            await self._store(request, name)
        return web.Response(status=201, headers={"Location": f"http://localhost/files/{name}"})

    async def patch(self, request: web.Request) -> web.Response:
        """Append."""
        await self._store(request, request.match_info["name"])
        return web.Response(status=204)

    async def _store(self, request: web.Request, name: str) -> None:
        loop = asyncio.get_running_loop()
        fd = os.open(f"{self._folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        pieces: list[bytes] = []
        held = unsynced = 0
        syncing: asyncio.Future[None] | None = None
        while piece := await request.content.readany():
            pieces.append(piece)
            held += len(piece)
            if held >= BATCH_BYTES:
                await loop.run_in_executor(None, os.writev, fd, pieces)
                unsynced, held, pieces = unsynced + held, 0, []
                if unsynced >= SYNC_BYTES:
                    if syncing:
                        await syncing
                    syncing, unsynced = loop.run_in_executor(None, os.fdatasync, fd), 0
        if syncing:
            await syncing
        if pieces:
            await loop.run_in_executor(None, os.writev, fd, pieces)
        await loop.run_in_executor(None, os.fsync, fd)
        os.close(fd)


async def main() -> None:
    """Serve until killed."""
    bare = Bare(sys.argv[1])
    app = web.Application(client_max_size=0)
    app.router.add_post("/files/", bare.create)
    app.router.add_patch("/files/{name}", bare.patch)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[2])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
